"""What long work tells, and what of it survives an interruption: progress bars and checkpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from octant import durable
from octant.errors import ArtifactError, InputError
from octant.version import __version__

T = TypeVar("T")
_KEY = "octant"  # one entry only: safetensors writes several in no fixed order


class Work:
    """How long work reports, and what survives an interruption.

    A codec that takes long asks :meth:`restore` for what an interrupted fit left, goes on from there, calls
    :meth:`save` now and then, and :meth:`done` at the end. It names what it saves by :func:`fingerprint` of
    everything that decides the result, so that another fit never goes on from it.

    A checkpoint that cannot be read is refused, not passed over: it is written in one step, so it can only have been
    damaged, and whoever counts on it should hear of that before hours of work start again in silence.

    Parameters
    ----------
    progress : bool
        Show progress bars on standard error.
    checkpoint : str or Path, optional
        Folder for checkpoints, made when the first is saved. Without one nothing is kept.

    Raises
    ------
    InputError
        If ``checkpoint`` is a file.

    Examples
    --------
    >>> list(Work().steps(range(3), what="rounds"))
    [0, 1, 2]
    >>> Work().restore("ab12") is None
    True
    """

    def __init__(self, *, progress: bool = False, checkpoint: str | Path | None = None) -> None:
        self._progress, self._name = progress, "fit"
        self._folder = None if checkpoint is None else Path(checkpoint)
        if self._folder is not None and self._folder.exists() and not self._folder.is_dir():
            raise InputError(f"checkpoint is a folder to keep checkpoints in, got the file {self._folder}")

    @property
    def keeps(self) -> bool:
        """Whether there is a checkpoint folder."""
        return self._folder is not None

    def at(self, checkpoint: str | Path | None) -> Work:
        """The same with checkpoints in another folder."""
        other = Work(progress=self._progress, checkpoint=checkpoint)
        other._name = self._name
        return other

    def part(self, name: str) -> Work:
        """The same for one link of a chain: its checkpoints carry its name."""
        part = self.at(self._folder)
        part._name = f"{self._name}.{name}"
        return part

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None, first: int = 0) -> Iterator[T]:
        """``items``, behind a progress bar if one was asked for.

        Parameters
        ----------
        what : str
            The bar's title.
        total : int, optional
            Steps in all, where ``items`` has no length or some were done earlier.
        first : int
            Steps that an interrupted run did already.
        """
        if not self._progress:
            yield from items
            return
        from tqdm import tqdm  # dear to import, and most callers want no bar

        yield from tqdm(items, desc=what, total=total, initial=first)

    def restore(self, key: str) -> dict[str, NDArray[Any]] | None:
        """What :meth:`save` left under ``key``; None without a checkpoint folder, or with nothing there.

        Raises
        ------
        ArtifactError
            If the file is damaged: it is named, and the fit can start again once it is deleted.
        """
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            data = path.read_bytes()
            arrays = safetensors.load(data)
            length = int.from_bytes(data[:8], "little")
            sealed = json.loads(data[8 : 8 + length])["__metadata__"][_KEY]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, repr(error)) from error
        if sealed != _seal(key, arrays):
            raise _damaged(path, "its content is not what was written")
        return arrays

    def save(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep ``arrays`` under ``key`` in place of what was there, in one step; nothing without a folder.

        Raises
        ------
        ArtifactError
            If the disk refuses.
        """
        path = self._path(key)
        if path is None:
            return
        kept = {name: np.array(value, order="C") for name, value in arrays.items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            durable.write(path, safetensors.save(kept, metadata={_KEY: _seal(key, kept)}))
        except OSError as error:
            raise ArtifactError(
                f"the checkpoint {path} cannot be written ({error}): free space there, or name another folder"
            ) from error

    def done(self, key: str) -> None:
        """Remove what is kept under ``key``: the work it belongs to is complete."""
        path = self._path(key)
        if path is not None:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{self._name}.{key[:32]}.safetensors"


QUIET = Work()
"""Shows nothing, keeps nothing."""


def fingerprint(codec: str, rng: np.random.Generator, *arrays: NDArray[Any] | None) -> str:
    """SHA-256, in hexadecimal, of what decides the result of a fit: the key of its checkpoints.

    Parameters
    ----------
    codec : str
        The codec's ``repr``, and whatever else is chosen before the work begins.
    rng : Generator
        As it is when the work begins; it is not advanced.
    arrays : arrays, or None
        The data, queries, and state that the work starts from.

    Examples
    --------
    >>> x = np.zeros((2, 3), np.float32)
    >>> one, other = (fingerprint("pca(2)", np.random.default_rng(seed), x) for seed in (0, 1))
    >>> len(one), one == other
    (64, False)
    """
    # Another version may compute something else from the same data.
    digest = hashlib.sha256(json.dumps([__version__, np.__version__, codec]).encode())
    digest.update(repr(rng.bit_generator.state).encode())
    for array in arrays:
        _digest(digest, array)
    return digest.hexdigest()


def _seal(key: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        _digest(digest, arrays[name])
    return digest.hexdigest()


def _digest(digest: Any, array: NDArray[Any] | None) -> None:
    if array is None:
        digest.update(b"none")
        return
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _damaged(path: Path, reason: str) -> ArtifactError:
    return ArtifactError(
        f"the checkpoint {path} is damaged ({reason}): delete it, and the fit starts from the beginning"
    )


@contextmanager
def progress_bar(total: int, *, title: str, unit: str, show: bool) -> Iterator[Callable[[int], object] | None]:
    """What to call with the number of units just done; None where nothing is shown.

    Examples
    --------
    >>> with progress_bar(3, title="index", unit="doc", show=False) as advance:
    ...     print(advance)
    None
    """
    if not show:
        yield None
        return
    from tqdm import tqdm  # dear to import, and most callers want no bar

    with tqdm(total=total, desc=title, unit=unit) as bar:
        yield bar.update
