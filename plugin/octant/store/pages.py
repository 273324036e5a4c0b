"""What the operating system really holds of files. Linux and macOS say; elsewhere nobody knows.

Pages of the page cache are everybody's: a file that another process reads is in memory for this one too.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

_SMAPS = Path("/proc/self/smaps")
_STATUS = Path("/proc/self/status")
_MAPS = Path("/proc/self/maps")
NO_MAPPINGS = f"{sys.platform} has no /proc/self/smaps: what this process has touched of a file cannot be told"


def reason_unknown() -> str | None:
    """Why this platform does not tell which pages are in memory; None where it does."""
    if os.name != "posix" or _mincore() is None:
        return f"{sys.platform} has no mincore: which pages of a file are in memory cannot be told"
    return None


def cached(path: Path) -> int:
    """Bytes of the file that are in the page cache, in whole pages; more than it has on disk where it has holes.

    Raises
    ------
    OSError
        If the file cannot be read, or the platform does not tell.
    """
    ask = _mincore()
    if ask is None:
        raise OSError(reason_unknown())
    with path.open("rb") as handle:
        length = os.fstat(handle.fileno()).st_size
        if not length:
            return 0
        # Mapping a file reads nothing of it.
        with mmap.mmap(handle.fileno(), length, access=mmap.ACCESS_READ) as mapped:
            return _resident(mapped, length, ask)


def _resident(mapped: mmap.mmap, length: int, ask: Callable[[int, int, int], int]) -> int:
    pages = np.zeros(-(-length // mmap.PAGESIZE), np.uint8)
    view = np.frombuffer(mapped, np.uint8)
    try:
        if ask(view.ctypes.data, length, pages.ctypes.data):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        del view  # a mapping that is looked at cannot be closed
    return int((pages & 1).sum()) * mmap.PAGESIZE


def _mincore() -> Callable[[int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    function.restype = ctypes.c_int
    return function


def mapped(folder: Path) -> dict[Path, int] | None:
    """Bytes of files below ``folder`` that this process has mapped and in its resident set; None where unknown."""
    try:
        lines = _SMAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    found: dict[Path, int] = {}
    inside, name = str(folder.resolve()) + os.sep, ""
    for line in lines:
        head, _, rest = line.partition(" ")
        if not head.endswith(":"):  # the first line of a mapping: addresses, rights, offset, device, inode, path
            parts = line.split(maxsplit=5)
            name = parts[5] if len(parts) == 6 else ""
        elif head == "Rss:" and name.startswith(inside):
            found[Path(name)] = found.get(Path(name), 0) + int(rest.split()[0]) * 1024
    return found


def let_go(folder: Path) -> None:
    """Take files below ``folder`` out of this process's resident set; the page cache keeps them as long as it likes.

    Nothing is lost, not even what was written: only shared mappings are touched, whose pages are the file's. They come
    back one by one when they are read. Where the platform does not tell what is mapped, nothing happens.
    """
    advise = _madvise()
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    inside = str(folder.resolve()) + os.sep
    for line in lines:
        parts = line.split(maxsplit=5)
        if advise is not None and len(parts) == 6 and parts[1].endswith("s") and parts[5].startswith(inside):
            start, end = (int(address, 16) for address in parts[0].split("-"))
            advise(start, end - start, mmap.MADV_DONTNEED)


def _madvise() -> Callable[[int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).madvise
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    function.restype = ctypes.c_int
    return function


def own_memory() -> int | None:
    """Resident bytes of this process that are no file's: its heap. None where unknown."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    sizes = (line.split()[1] for line in lines if line.startswith("RssAnon:"))
    return next((int(size) * 1024 for size in sizes), None)
