"""Other names of the collections in a directory: one small file, replaced in one step.

A name is looked up among the aliases first, so that a collection's old name can serve its successor. An alias of a
collection that is gone says nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import portalocker

from octant import durable
from octant.errors import ArtifactError, CollectionExistsError, CollectionNotFoundError, LockedError
from octant.store.sidecar import Sidecar

ALIASES = ".aliases.json"
LOCK = ".aliases.lock"
"""Names that no collection's directory has: those never begin with a dot."""
PATIENCE_S = 10.0
"""Seconds that a change waits for another one; either takes a moment."""


def read(root: Path) -> dict[str, str]:
    """Every alias, and the collection it stands for, there or not.

    Raises
    ------
    ArtifactError
        If the file holds something else.
    """
    path = root / ALIASES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(alias): str(name) for alias, name in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{path} should hold the directory's aliases as JSON and cannot be read ({error}): restore the file, or "
            "delete it and switch the aliases again"
        ) from error


def write(root: Path, aliases: Mapping[str, str]) -> None:
    """Replace the aliases in one step."""
    durable.write(root / ALIASES, json.dumps(dict(aliases), indent=2, sort_keys=True).encode())


@contextmanager
def changing(root: Path) -> Iterator[dict[str, str]]:
    """The aliases, while nobody else changes them; write what shall be kept.

    Raises
    ------
    LockedError
        If somebody else does not finish.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = portalocker.Lock(
        root / LOCK, mode="a", flags=portalocker.LOCK_EX | portalocker.LOCK_NB, timeout=PATIENCE_S, check_interval=0.05
    )
    try:
        lock.acquire()
    except (portalocker.LockException, portalocker.AlreadyLocked) as error:
        raise LockedError(f"another process is changing the aliases in {root}: try again") from error
    try:
        yield read(root)
    finally:
        lock.release()


def switch(root: Path, alias: str, to: str | None, set_aside: str | None) -> None:
    """Let ``alias`` stand for ``to``; see :meth:`octant.store.base.Store.switch_alias`."""
    with changing(root) as aliases:
        if to is None:
            aliases.pop(alias, None)
            write(root, aliases)
            return
        if not Sidecar(root, to).exists():
            raise CollectionNotFoundError(f"no collection {to!r} in {root}: an alias stands for one that is there")
        own = Sidecar(root, alias)
        if not own.exists():
            write(root, {**aliases, alias: to})
            return
        with _moving(root, own, alias, set_aside, aliases) as moved:
            # The alias comes first: killed between the two, the name serves the new collection, not none.
            write(root, {**aliases, alias: to})
            own.directory.rename(moved.directory)


@contextmanager
def _moving(
    root: Path, own: Sidecar, alias: str, set_aside: str | None, aliases: Mapping[str, str]
) -> Iterator[Sidecar]:
    if set_aside is None:
        raise CollectionExistsError(
            f"{alias!r} is itself a collection in {root}, and would be hidden by the alias: name what it shall be "
            "called from now on (set_aside=), or drop it"
        )
    moved = Sidecar(root, set_aside)
    if set_aside == alias or set_aside in aliases or moved.directory.exists():
        raise CollectionExistsError(f"{set_aside!r} is taken in {root}: choose another name to set {alias!r} aside")
    own.acquire()  # nobody may have it open
    if os.name == "nt":  # where an open file holds its directory
        own.release()
    try:
        yield moved
    finally:
        own.release()


def forget(root: Path, name: str) -> None:
    """Take away every alias of the collection ``name``, which is gone."""
    if name not in read(root).values():
        return
    with changing(root) as aliases:
        write(root, {alias: behind for alias, behind in aliases.items() if behind != name})
