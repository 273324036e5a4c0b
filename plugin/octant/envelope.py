"""One file format for everything that was learned: safetensors arrays under one JSON header, never pickle.

Equal content gives equal bytes, so the SHA-256 of the bytes names what was learned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from octant.errors import ArtifactError
from octant.records import JSON

_KEY = "octant"  # one entry only: safetensors writes several in no fixed order
REMEDY = "make it again, or restore the file from a backup"


def pack(kind: str, version: int, header: Mapping[str, JSON], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """``header`` and ``arrays`` as one file.

    Parameters
    ----------
    kind : str
        What the file holds, e.g. ``"octant-representation"``.
    version : int
        Of that kind's own layout of header and arrays.
    header : mapping
        JSON values; not ``format`` or ``version``, which are the envelope's own.
    arrays : mapping from name to array
        Of any shape, of dtypes that safetensors knows.

    Examples
    --------
    >>> data = pack("octant-example", 1, {"spec": "rocchio"}, {"w": np.ones(2, np.float32)})
    >>> header, arrays = unpack(data, "octant-example", 1)
    >>> header["spec"], arrays["w"].tolist()
    ('rocchio', [1.0, 1.0])
    """
    text = json.dumps({**header, "format": kind, "version": version}, sort_keys=True)
    plain = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in arrays.items()}
    return safetensors.save(plain, metadata={_KEY: text})


def unpack(
    data: bytes, kind: str, newest_version: int, *, expected: str | None = None, remedy: str = REMEDY
) -> tuple[dict[str, JSON], dict[str, NDArray[Any]]]:
    """Header and arrays that :func:`pack` wrote.

    Parameters
    ----------
    data : bytes
    kind : str
        What the file must hold.
    newest_version : int
        The latest version of that kind that the caller can read.
    expected : str, optional
        The digest that ``data`` must have.
    remedy : str
        What to do about a damaged file, for the message.

    Raises
    ------
    ArtifactError
        If ``data`` is corrupt, truncated, of another kind, or from a newer Octant.
    """
    found = digest(data)
    if expected is not None and found != expected:
        raise ArtifactError(f"expected an artifact with SHA-256 {expected}, got {found}: it is corrupt; {remedy}")
    header, arrays = _read(data, remedy)
    if header.get("format") != kind:
        raise ArtifactError(f"expected an artifact of the format {kind!r}, got {_told(header)}: {remedy}")
    version = header.get("version")
    if not isinstance(version, int) or version > newest_version:
        raise ArtifactError(
            f"expected an artifact of version {newest_version} or earlier, got version {version}: it was written by a "
            "newer Octant; upgrade with pip install -U qdrant-octant"
        )
    return header, arrays


def kind_of(data: bytes) -> str:
    """What a file holds.

    Raises
    ------
    ArtifactError
        If ``data`` was not written by :func:`pack`.
    """
    header, _ = _read(data, REMEDY)
    return str(header.get("format", "another kind of file"))


def digest(data: bytes) -> str:
    """SHA-256 of ``data``, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _read(data: bytes, remedy: str) -> tuple[dict[str, JSON], dict[str, NDArray[Any]]]:
    try:
        arrays = safetensors.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"expected a safetensors file written by Octant, got {len(data)} bytes that are not ({error!r}): "
            f"it is truncated, corrupt or another kind of file; {remedy}"
        ) from error
    return (header, arrays) if isinstance(header, dict) else ({}, arrays)


def _told(header: Mapping[str, JSON]) -> str:
    found = header.get("format")
    return f"one of {found[:40]!r}" if isinstance(found, str) else "another kind of file"
