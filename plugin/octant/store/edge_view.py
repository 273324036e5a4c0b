"""A shard opened only to be read: the same bytes, but none of them loaded into memory beforehand.

How a segment is held in memory is written into it when it is made: a cached vector is read whole when the shard is
opened, whatever the collection's configuration says by then. So a pass over everything would take as much memory as
everything is large. A view is a second directory: the bulk of the segments is there by hard links, which take no space;
what says how they are held is written anew; and the small files, which the engine touches even when it only reads, are
copies, so that the shard itself is not touched at all.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from octant.records import JSON
from octant.store.sidecar import SHARD_CONFIG

_SEGMENT = "segment.json"
_BULK = re.compile(r"chunk_\d+\.mmap|matrix\.dat|page_\d+\.dat|graph\.bin|links\w*\.bin|quantized\.data")
"""Vectors, payloads and graphs: only a write changes them."""
_ON_DISK = {"InRamMmap": "Mmap", "InRamChunkedMmap": "ChunkedMmap"}


def make(shard: Path, view: Path) -> bool:
    """Make at ``view`` what reads like ``shard`` without loading it; False where that cannot be done.

    It cannot where a write-ahead log may still hold points, or the file system has no hard links; ``view`` is then
    not there.

    Raises
    ------
    OSError
        If the disk refuses to write.
    """
    remove(view)
    configuration = _json(shard / SHARD_CONFIG)
    if configuration.get("wal_enabled", True):
        return False
    try:
        view.mkdir()
        for path in sorted(shard.rglob("*")):
            place = view / path.relative_to(shard)
            if path.is_dir():
                place.mkdir()
            elif path.name in (_SEGMENT, SHARD_CONFIG):
                place.write_text(json.dumps(_cold(_json(path))), encoding="utf-8")
            elif _BULK.fullmatch(path.name):
                os.link(path, place)
            else:
                shutil.copyfile(path, place)
    except (OSError, NotImplementedError) as error:
        remove(view)
        if isinstance(error, OSError) and error.errno is not None and not _lacks_links(error):
            raise
        return False
    return True


def remove(view: Path) -> None:
    """Take a view away; what it was made of stays."""
    shutil.rmtree(view, ignore_errors=True)


def _cold(value: JSON) -> JSON:
    """``value`` with every placement in memory replaced by one on disk."""
    if isinstance(value, Mapping):
        return {key: _placed(key, entry) for key, entry in value.items()}
    return [_cold(entry) for entry in value] if isinstance(value, list) else value


def _placed(key: str, entry: JSON) -> JSON:
    if key == "memory" and isinstance(entry, str):
        return "cold"
    if key == "storage_type" and isinstance(entry, str):
        return _ON_DISK.get(entry, entry)
    return _cold(entry)


def _lacks_links(error: OSError) -> bool:
    return error.errno in (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES)


def _json(path: Path) -> Mapping[str, JSON]:
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}
