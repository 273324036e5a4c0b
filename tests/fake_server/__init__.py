"""Enough of Qdrant's REST API, in this process, to see what a client sends and to fail on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What arrived: ``path`` is decoded and has no query."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]

    @property
    def writes_points(self) -> bool:
        return self.method == "PUT" and self.path.endswith("/points")


@dataclass(frozen=True)
class Fault:
    """How to fail: an HTTP status, or 0 to hang up; after ``seconds``."""

    status: int
    error: str = "made to fail"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


Trouble = Callable[[Request], Fault | None]


@dataclass
class FakeQdrant:
    """A server's state. ``trouble`` is asked before every request."""

    version: str = "1.20.0"
    url: str = ""
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: dict[str, dict[Any, Any]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    memory: dict[str, Any] | None = None
    trouble: Trouble = lambda request: None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def seen(self, method: str, ending: str = "") -> list[Request]:
        return [entry for entry in self.requests if entry.method == method and entry.path.endswith(ending)]

    def answer(self, request: Request) -> tuple[int, Any]:
        """Status, and the result or the error's text."""
        parts = request.path.strip("/").split("/")
        if parts == [""]:
            return 200, None
        name, rest = parts[1], "/".join(parts[2:])
        if request.method == "PUT" and rest == "":
            return self._create(name, request.body)
        if request.method == "DELETE" and rest == "":
            return 200, self.collections.pop(name, None) is not None
        if rest == "exists":
            return 200, {"exists": name in self.collections}
        if name not in self.collections:
            return 404, f"Not found: Collection `{name}` doesn't exist!"
        return self._in_collection(name, request.method, rest, request.body)

    def _create(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if name in self.collections:
            return 409, f"Wrong input: Collection `{name}` already exists!"
        self.collections[name] = body
        self.points[name] = {}
        return 200, True

    def _in_collection(self, name: str, method: str, rest: str, body: Any) -> tuple[int, Any]:
        if rest == "" and method == "GET":
            return 200, self._info(name)
        if rest == "" and method == "PATCH":
            self.collections[name].setdefault("metadata", {}).update(body.get("metadata") or {})
            return 200, True
        if rest == "points" and method == "PUT":
            self.points[name].update(_points(body))
            return 200, {"operation_id": 1, "status": "completed"}
        if rest == "points":
            found = [self.points[name][point] for point in body["ids"] if point in self.points[name]]
            return 200, found
        if rest == "points/count":
            return 200, {"count": len(self.points[name])}
        if rest == "points/query":
            return 200, {"points": []}
        if rest == "points/query/batch":
            return 200, [{"points": []} for _ in body["searches"]]
        if rest in ("points/delete", "index"):
            return 200, {"operation_id": 1, "status": "completed"}
        if rest == "memory" and self.memory is not None:
            return 200, self.memory
        return 404, "no such path"

    def _info(self, name: str) -> dict[str, Any]:
        made = self.collections[name]
        params = {key: made[key] for key in ("vectors", "sparse_vectors", "payload", "on_disk_payload") if key in made}
        optimizers = {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0}
        return {
            "status": self.statuses.pop(0) if self.statuses else "green",
            "optimizer_status": "ok",
            "points_count": len(self.points[name]),
            "segments_count": 3,
            "payload_schema": {},
            "config": {
                "params": params,
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {**optimizers, "flush_interval_sec": 5, **(made.get("optimizers_config") or {})},
                "metadata": made.get("metadata"),
            },
        }


def _points(body: dict[str, Any]) -> dict[Any, Any]:
    if "points" in body:
        return {point["id"]: point for point in body["points"]}
    batch = body["batch"]
    vectors = batch["vectors"]
    rows: list[Any] = vectors if isinstance(vectors, list) else [
        {key: column[i] for key, column in vectors.items()} for i in range(len(batch["ids"]))
    ]  # fmt: skip
    return {
        point: {"id": point, "vector": row, "payload": payload}
        for point, row, payload in zip(batch["ids"], rows, batch["payloads"], strict=True)
    }


@contextmanager
def serving(**state: Any) -> Iterator[FakeQdrant]:
    """A fake server on a free port of 127.0.0.1, for as long as the block runs."""
    fake = FakeQdrant(**state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(fake: FakeQdrant) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = unquote(urlsplit(self.path).path)
            request = Request(self.command, path, body, {key.lower(): value for key, value in self.headers.items()})
            with fake.guard:
                fake.requests.append(request)
                fault = fake.trouble(request)
                status, result = (fault.status, fault.error) if fault else fake.answer(request)
            if fault is not None and fault.seconds:
                time.sleep(fault.seconds)
            if status:
                self._reply(status, result, fault.headers if fault else {}, root=path == "/")

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        def _reply(self, status: int, result: Any, headers: dict[str, str], *, root: bool) -> None:
            good = status < 300
            content: dict[str, Any] = {"time": 0.0, "status": "ok" if good else {"error": result}}
            if good:
                content["result"] = result
            if good and root:
                content = {"title": "qdrant - vector search engine", "version": fake.version}
            data = json.dumps(content).encode()
            try:
                self.send_response(status)
                for key, value in {"Content-Type": "application/json", "Content-Length": len(data), **headers}.items():
                    self.send_header(key, str(value))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client gave up waiting, as it was meant to

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    return Handler
