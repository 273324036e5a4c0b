"""What does ``octant compress`` lose when it is killed, how much memory does it take, how long beside a plain copy?

Three measurements, on made-up vectors with the structure of embeddings (a few hundred directions, noise around them):

* A collection of 100,000 points (``--kill-points``) is compressed by a process that is killed at 20 random moments
  (``--kills``) and started again each time. Then every id, payload and decoded vector of the target is compared with
  what was put into the source.
* Collections of two sizes (``--size``, twice) are compressed by a process of its own, whose peak memory is read: all of
  it, as the system counts it, pages of mapped files included; and the anonymous part alone, which no file stands
  behind and which the system cannot take back.
* A plain scroll and upsert of the same points, in the same run, is the control for time: once as it is, and once with
  a second scroll over source and target that compares ids and payloads.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from harness import Bar, finish, parser, table

import octant
from octant.errors import UnfinishedError

CHILD = Path(__file__).parents[1] / "end_to_end" / "compress_child.py"
GIB = 2**30
SPEC = "pca(128)|turbo8"
BATCH = 10_000


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--kill-points", type=int, default=100_000)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--size", type=int, action="append", help="points of a memory measurement; may be given again")
    options.add_argument("--dim", type=int, default=384)
    options.add_argument("--spec", default=SPEC)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--limit", type=int, help="no more points than this anywhere: to try it out")
    options.add_argument("--folder", type=Path, help="where collections are made; a temporary folder by default")
    options.add_argument("--copy", help="internal: copy the collection of this directory plainly")
    chosen = options.parse_args()
    if chosen.copy:
        print(json.dumps(plain_copy(Path(chosen.copy))))
        return
    most = chosen.limit or sys.maxsize
    sizes = [min(size, most) for size in chosen.size or (50_000, 200_000)]
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        killed = under_kills(Path(folder) / "killed", min(chosen.kill_points, most), chosen)
        runs = [measured(Path(folder) / f"size{turn}", size, chosen) for turn, size in enumerate(sizes)]
    report(chosen, killed, runs)


# -- the collection --------------------------------------------------------------------------------


def vectors(first: int, count: int, dim: int) -> np.ndarray:
    """Rows ``first`` to ``first + count`` of the data, unit length."""
    centres = np.random.default_rng(7).standard_normal((400, dim), dtype=np.float32)
    spread = (1 + np.arange(dim, dtype=np.float32)) ** -0.4
    rng = np.random.default_rng([11, first])
    rows = (centres[rng.integers(0, 400, count)] + rng.standard_normal((count, dim), dtype=np.float32)) * spread
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def payload(row: int) -> dict:
    return {"page_content": f"text number {row}", "n": row, "part": {"share": row / 8, "tags": [f"t{row % 5}", None]}}


def point_id(row: int) -> int | str:
    """Integers and strings, which become UUIDs."""
    return row if row % 2 else f"doc-{row}"


def make_source(place: Path, count: int, dim: int) -> None:
    with octant.Collection.create("docs", location=place, represent="float32", dimension=dim) as source:
        source.index_payload("n", "integer")
        for first in range(0, count, BATCH):
            rows = range(first, min(first + BATCH, count))
            source.add(
                vectors=vectors(first, len(rows), dim), payloads=[payload(row) for row in rows],
                ids=[point_id(row) for row in rows], optimize=False,
            )  # fmt: skip


# -- killed --------------------------------------------------------------------------------------


def under_kills(place: Path, count: int, chosen) -> dict:
    """Compress under kills, then compare everything with what was put in."""
    make_source(place, count, chosen.dim)
    order = {"into": "small", "represent": chosen.spec, "seed": chosen.seed}
    started = time.perf_counter()
    kills, phases, rng = 0, [], random.Random(chosen.seed)
    # How long an undisturbed run takes decides where kills may fall; a run on another collection tells.
    alone = undisturbed(place.with_name("alone"), min(count, 20_000), chosen) * max(1.0, count / 20_000)
    while True:
        process = child(place, order)
        done = False
        if kills < chosen.kills:
            try:
                process.wait(timeout=2.0 + rng.random() * alone * 0.6)
                done = True
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                phases.append(phase_of(place))
        else:
            process.wait()
            done = True
        output = process.stdout.read()
        process.stdout.close()
        if done and process.returncode:
            raise SystemExit(f"the compression failed: {output}")
        if done and kills >= chosen.kills:
            break
        if done:  # it got through between two kills: begin anew, so that every kill hits work
            with octant.Collection.open("small", location=place) as target:
                target.drop()
    seconds = time.perf_counter() - started
    return {"points": count, "kills": kills, "seconds": seconds, "phases": phases, **losses(place, count, chosen.dim)}


def undisturbed(place: Path, count: int, chosen) -> float:
    make_source(place, count, chosen.dim)
    started = time.perf_counter()
    process = child(place, {"into": "small", "represent": chosen.spec})
    process.communicate()
    return time.perf_counter() - started


def child(place: Path, order: dict) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(place), json.dumps(order)], stdout=subprocess.PIPE, text=True
    )


def phase_of(place: Path) -> str:
    """What the killed run was at, as whoever opens the target is told."""
    try:
        octant.Collection.open("small", location=place).close()
    except UnfinishedError as error:
        return str(error).split("(next: ")[1].split(")")[0]
    except octant.errors.CollectionNotFoundError:
        return "before the target"
    return "done"


def losses(place: Path, count: int, dim: int) -> dict:
    """How many ids, payloads and vectors of the target are not what they should be."""
    missing = wrong_payload = wrong_vector = 0
    with octant.Collection.open("small", location=place) as target:
        extra = target.count() - count
        for first in range(0, count, 1000):
            rows = range(first, min(first + 1000, count))
            block = first - first % BATCH
            x = vectors(block, min(BATCH, count - block), dim)[first - block : first - block + len(rows)]
            found = {hit.id: hit for hit in target.get([point_id(row) for row in rows], with_vectors=True)}
            missing += len(rows) - len(found)
            expected = target.representation.decode(target.representation.encode(x)[0])
            for row, wanted in zip(rows, expected, strict=True):
                hit = found.get(point_id(row))
                if hit is not None:
                    whole = {**hit.payload, "page_content": hit.text}
                    wrong_payload += whole != payload(row)
                    error = np.linalg.norm(hit.vector - wanted) if hit.vector is not None else np.inf
                    wrong_vector += bool(error > 0.05 * np.linalg.norm(wanted))
    return {"missing": missing, "extra": extra, "payloads": wrong_payload, "vectors": wrong_vector}


# -- memory and time -----------------------------------------------------------------------------


def measured(place: Path, count: int, chosen) -> dict:
    make_source(place, count, chosen.dim)
    order = {"into": "small", "represent": chosen.spec}
    compressing = watched([sys.executable, str(CHILD), str(place), json.dumps(order)])
    copying = watched([sys.executable, __file__, "--copy", str(place)])
    done = json.loads(compressing["output"])
    assert done["copied"] == count
    times = json.loads(copying["output"])
    return {
        "points": count,
        "peak": compressing["peak"],
        "anonymous": compressing["anonymous"],
        "seconds": done["seconds"],
        "recall": done["recall"][""],
        "disk_before": done["before"]["disk_bytes"],
        "disk_after": done["after"]["disk_bytes"],
        "copy_seconds": times["copy"],
        "copy_and_check_seconds": times["copy"] + times["check"],
        "copy_peak": copying["peak"],
        "copy_anonymous": copying["anonymous"],
    }


def watched(command: list[str]) -> dict:
    """Run ``command`` and look at its memory twenty times a second."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peaks = {"VmHWM": 0, "RssAnon": 0}

    def look() -> None:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            try:
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            except OSError:
                return
            for name in peaks:
                if name in lines:
                    peaks[name] = max(peaks[name], int(lines[name].split()[0]) * 1024)
            time.sleep(0.05)

    looking = threading.Thread(target=look)
    looking.start()
    output = process.communicate()[0]
    looking.join()
    if process.returncode:
        raise SystemExit(f"{command[1]} failed: {output}")
    return {"output": output.strip().splitlines()[-1], "peak": peaks["VmHWM"], "anonymous": peaks["RssAnon"]}


def plain_copy(place: Path) -> dict:
    """The control: scroll, encode with a fitted representation, upsert, build the graph; then scroll again."""
    with (
        octant.Collection.open("docs", location=place) as source,
        octant.Collection.create("copy", location=place, represent="float32", dimension=source.dimension) as target,
    ):
        started = time.perf_counter()
        page: list = []

        def write() -> None:
            target.add(
                [hit.text or "" for hit in page], vectors=np.stack([hit.vector for hit in page]),
                payloads=[hit.payload for hit in page], ids=[hit.id for hit in page], optimize=False,
            )  # fmt: skip
            page.clear()

        for hit in source.scroll(page_size=1024, with_vectors=True):
            page.append(hit)
            if len(page) == 1024:
                write()
        if page:
            write()
        target.optimize()
        copied = time.perf_counter()
        for one, other in zip(source.scroll(page_size=1024), target.scroll(page_size=1024), strict=True):
            assert one.id == other.id
            assert one.payload == other.payload
        return {"copy": copied - started, "check": time.perf_counter() - copied}


# -- what came out ---------------------------------------------------------------------------------


def report(chosen, killed: dict, runs: list[dict]) -> None:
    lost = {what: killed[what] for what in ("missing", "extra", "payloads", "vectors")}
    kills = f"{killed['points']:,} points under {killed['kills']} kills: " + ", ".join(
        f"{count} {what}" for what, count in lost.items()
    )
    reached = {phase: killed["phases"].count(phase) for phase in dict.fromkeys(killed["phases"])}
    rows = [
        [f"{run['points']:,}", f"{run['peak'] / GIB:.2f}", f"{run['anonymous'] / GIB:.2f}", f"{run['seconds']:.0f}",
         f"{run['seconds'] / run['copy_seconds']:.2f}", f"{run['seconds'] / run['copy_and_check_seconds']:.2f}",
         f"{run['copy_peak'] / GIB:.2f}", f"{run['disk_after'] / run['disk_before']:.2f}",
         f"{run['recall']['value']:.3f}"]
        for run in runs
    ]  # fmt: skip
    header = [
        "points", "peak GiB", "of it anonymous", "seconds", "x plain copy", "x copy and check", "peak GiB of copy",
        "x disk", "recall@10",
    ]  # fmt: skip
    bars = [Bar(f"{killed['kills']} kills lose nothing", str(lost), not any(lost.values()))]
    bars += [
        Bar(f"{run['points']:,} points take less than 1 GiB", f"{run['peak'] / GIB:.2f} GiB", run["peak"] < GIB)
        for run in runs
    ]
    text = f"{kills}\nkilled while next was: {reached}\n\n{table(header, rows)}"
    settings = {key: str(value) for key, value in vars(chosen).items()}
    finish("compress", text, {"settings": settings, "killed": killed, "runs": runs}, bars)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
    main()
