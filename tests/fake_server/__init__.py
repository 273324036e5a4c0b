"""Enough of Qdrant's REST API, in this process, to see what a client sends and to fail on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from fake_server.reading import matches, scrolled, shown


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
    """A server's state. ``trouble`` is asked before every request; ``status`` is told once ``statuses`` are used up."""

    version: str = "1.20.0"
    url: str = ""
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: dict[str, dict[Any, Any]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    status: str = "green"
    memory: dict[str, Any] | None = None
    trouble: Trouble = lambda request: None
    guard: threading.Lock = field(default_factory=threading.Lock)
    ending: threading.Event = field(default_factory=threading.Event)

    def seen(self, method: str, ending: str = "") -> list[Request]:
        return [entry for entry in self.requests if entry.method == method and entry.path.endswith(ending)]

    def answer(self, request: Request) -> tuple[int, Any]:
        """Status, and the result or the error's text."""
        parts = request.path.strip("/").split("/")
        if parts == [""]:
            return 200, None
        if parts == ["aliases"]:
            known = [{"alias_name": key, "collection_name": value} for key, value in self.aliases.items()]
            return 200, {"aliases": known}
        if parts == ["collections", "aliases"]:
            return self._change_aliases(request.body["actions"])
        name, rest = parts[1], "/".join(parts[2:])
        if request.method == "PUT" and rest == "":
            return self._create(name, request.body)
        if request.method == "DELETE" and rest == "":
            self.aliases = {key: value for key, value in self.aliases.items() if value != name}
            return 200, self.collections.pop(name, None) is not None
        name = self.aliases.get(name, name)
        if rest == "exists":
            return 200, {"exists": name in self.collections}
        if name not in self.collections:
            return 404, f"Not found: Collection `{name}` doesn't exist!"
        return self._in_collection(name, request.method, rest, request.body)

    def _change_aliases(self, actions: list[dict[str, Any]]) -> tuple[int, Any]:
        changed = dict(self.aliases)
        for action in actions:
            ((kind, told),) = action.items()
            if kind == "delete_alias":
                changed.pop(told["alias_name"], None)
            elif told["collection_name"] not in self.collections:
                return 404, f"Not found: Collection `{told['collection_name']}` doesn't exist!"
            elif told["alias_name"] in self.collections:
                return 409, f"Wrong input: Collection `{told['alias_name']}` already exists!"
            else:
                changed[told["alias_name"]] = told["collection_name"]
        self.aliases = changed
        return 200, True

    def _create(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if name in self.collections or name in self.aliases:
            return 409, f"Wrong input: Collection `{name}` already exists!"
        self.collections[name] = body
        self.points[name] = {}
        return 200, True

    def _in_collection(self, name: str, method: str, rest: str, body: Any) -> tuple[int, Any]:
        if rest == "" and method == "GET":
            return 200, self._info(name)
        made, points = self.collections[name], self.points[name]
        if rest == "" and method == "PATCH":
            _change(made, body)
            return 200, True
        if rest.startswith("vectors/"):
            return self._change_vector(made, points, method, rest.partition("/")[2], body)
        if rest == "points/vectors":
            return _update_vectors(points, body["points"])
        if rest == "points/scroll":
            return scrolled(points, body, made.get("strict_mode_config") or {})
        if rest == "index":
            schema = body["field_schema"]
            made.setdefault("indexes", {})[body["field_name"]] = schema
            return 200, {"operation_id": 1, "status": "completed"}
        if rest == "points" and method == "PUT":
            self.points[name].update(_points(body))
            return 200, {"operation_id": 1, "status": "completed"}
        if rest == "points":
            found = [points[point] for point in body["ids"] if point in points]
            return 200, [shown(point, body) for point in found]
        if rest == "points/count":
            return 200, {"count": sum(matches(body.get("filter"), point) for point in points.values())}
        if rest == "points/query":
            return 200, {"points": []}
        if rest == "points/query/batch":
            return 200, [{"points": []} for _ in body["searches"]]
        if rest == "points/delete":
            return 200, {"operation_id": 1, "status": "completed"}
        if rest == "memory" and self.memory is not None:
            return 200, self.memory
        return 404, "no such path"

    def _change_vector(
        self, made: dict[str, Any], points: dict[Any, Any], method: str, name: str, body: Any
    ) -> tuple[int, Any]:
        if "size" in made.get("vectors", {}):
            made["vectors"] = {"": made["vectors"]}
        if method == "DELETE":
            for kind in ("vectors", "sparse_vectors"):
                made.get(kind, {}).pop(name, None)
            for point in points.values():
                if isinstance(point["vector"], dict):
                    point["vector"].pop(name, None)
        elif "dense" in body:
            made.setdefault("vectors", {}).setdefault(name, body["dense"])
        else:
            index = {"index": {"datatype": body["sparse"]["datatype"]}} if body["sparse"].get("datatype") else {}
            made.setdefault("sparse_vectors", {}).setdefault(
                name, {"modifier": body["sparse"].get("modifier"), **index}
            )
        return 200, {"operation_id": 1, "status": "completed"}

    def _info(self, name: str) -> dict[str, Any]:
        made = self.collections[name]
        params = {key: made[key] for key in _PARAMS if key in made}
        optimizers = {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0}
        return {
            "status": self.statuses.pop(0) if self.statuses else self.status,
            "optimizer_status": "ok",
            "points_count": len(self.points[name]),
            "segments_count": 3,
            "payload_schema": {field: _indexed(schema) for field, schema in made.get("indexes", {}).items()},
            "config": {
                "params": params,
                **{
                    key: made[key] for key in ("quantization_config", "wal_config", "strict_mode_config") if key in made
                },
                "hnsw_config": {
                    "m": 16,
                    "ef_construct": 100,
                    "full_scan_threshold": 10000,
                    **(made.get("hnsw_config") or {}),
                },
                "optimizer_config": {**optimizers, "flush_interval_sec": 5, **(made.get("optimizers_config") or {})},
                "metadata": made.get("metadata"),
            },
        }


_CONFIG = ("quantization_config", "wal_config", "strict_mode_config")
_PARAMS = (
    "vectors", "sparse_vectors", "payload", "on_disk_payload", "id_tracker", "shard_number", "sharding_method",
    "replication_factor", "write_consistency_factor", "read_fan_out_factor",
)  # fmt: skip


def _change(made: dict[str, Any], body: dict[str, Any]) -> None:
    metadata = made.setdefault("metadata", None) or {}
    for key, value in (body.get("metadata") or {}).items():
        if value is None:  # as the server's merge: a null removes the key
            metadata.pop(key, None)
        else:
            metadata[key] = value
    made["metadata"] = metadata or None
    made.update(body.get("params") or {})
    for name, changed in (body.get("vectors") or {}).items():
        if changed.get("quantization_config") == "Disabled":
            changed = {key: value for key, value in changed.items() if key != "quantization_config"}
        made["vectors"][name].update({key: value for key, value in changed.items() if value is not None})


def _update_vectors(points: dict[Any, Any], updates: list[dict[str, Any]]) -> tuple[int, Any]:
    missing = None
    for update in updates:  # as the server: all that are there, then the first that is not
        if update["id"] not in points:
            missing = update["id"] if missing is None else missing
            continue
        point = points[update["id"]]
        there = point["vector"] if isinstance(point["vector"], dict) else {"": point["vector"]}
        new = update["vector"] if isinstance(update["vector"], dict) else {"": update["vector"]}
        point["vector"] = {**there, **new}
    if missing is not None:
        return 404, f"Not found: No point with id {missing} found"
    return 200, {"operation_id": 1, "status": "completed"}


def _indexed(schema: Any) -> dict[str, Any]:
    if isinstance(schema, str):
        return {"data_type": schema, "points": 0}
    return {"data_type": schema["type"], "params": schema, "points": 0}


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
        fake.ending.set()
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
                fake.ending.wait(fault.seconds)
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
