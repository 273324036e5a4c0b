"""Several manifests in one place: one for every representation a collection keeps, by the name of its vector.

The first one lies under ``octant``, as it does where there is only one; the others each have a key of their own, so
that writing one never touches another.
"""

from __future__ import annotations

from collections.abc import Mapping

from octant.records import JSON

KEY = "octant"
"""The first manifest's key in a collection's metadata."""
PREFIX = "octant/family/"
"""What the other manifests' keys begin with; the vector's name follows."""
STATE = "octant/state/"
"""What the keys of notes begin with."""


def name(manifest: Mapping[str, JSON]) -> str:
    """Name of the vector that ``manifest`` is about."""
    return str(manifest.get("vector_name", ""))


def read(metadata: Mapping[str, JSON]) -> dict[str, Mapping[str, JSON]]:
    """The manifests among ``metadata``, by the names of their vectors, the first one first."""
    # Engines keep metadata in an order of their own; the first manifest is the one whose key says so.
    keys = [key for key in (KEY, *sorted(metadata)) if key == KEY or key.startswith(PREFIX)]
    found = [value for key in dict.fromkeys(keys) if isinstance(value := metadata.get(key), Mapping)]
    return {name(manifest): dict(manifest) for manifest in found}


def key(metadata: Mapping[str, JSON], vector_name: str) -> str:
    """Under which key the manifest of ``vector_name`` lies, or goes."""
    first = metadata.get(KEY)
    if not isinstance(first, Mapping):
        # A manifest that has a key of its own keeps it: it must not be there twice.
        own = f"{PREFIX}{vector_name}"
        return own if own in metadata else KEY
    return KEY if name(first) == vector_name else f"{PREFIX}{vector_name}"


def write(manifests: Mapping[str, Mapping[str, JSON]]) -> dict[str, JSON]:
    """The metadata that :func:`read` reads ``manifests`` from."""
    found: dict[str, JSON] = {}
    for vector_name, manifest in manifests.items():
        found[key(found, vector_name)] = dict(manifest)
    return found


def others(metadata: Mapping[str, JSON]) -> dict[str, JSON]:
    """What other people wrote."""
    return {key: value for key, value in metadata.items() if key != KEY and not key.startswith((PREFIX, STATE))}
