"""The last step: who reads the target from now on, and what is deleted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from octant.errors import CollectionExistsError, InputError
from octant.flow import Flow
from octant.lifecycle.order import Order, embeddings_of
from octant.lifecycle.source import Source
from octant.manifest import Manifest
from octant.store.base import Store

ASIDE = ".before"
"""What follows the name of a source whose name becomes an alias."""


@dataclass(frozen=True)
class Ending:
    """What shall happen once the target is verified.

    Attributes
    ----------
    alias : str or None
        Name that stands for the target from then on.
    delete_source : bool
    drop_originals : bool
        In place: take the vectors that were compressed from the collection.
    """

    alias: str | None = None
    delete_source: bool = False
    drop_originals: bool = False

    @property
    def deletes(self) -> bool:
        """Whether something goes that cannot be made again."""
        return self.delete_source or self.drop_originals


def check(
    ending: Ending, order: Order, source: Source, target: Store, named: Store | None, *, same_place: bool
) -> Flow[None]:
    """Refuse, before anything is written, an ending that the engine cannot give.

    Parameters
    ----------
    ending : Ending
    order : Order
    source : Source
    target : Store
    named : Store or None
        The collection that is called as the alias, if there is one at the target's location.
    same_place : bool
        Whether source and target share a location.

    Raises
    ------
    InputError, CollectionExistsError, UnsupportedError
    """
    if order.in_place and (ending.alias or ending.delete_source):
        raise InputError(
            "in place there is one collection, which keeps its name: --alias and --delete-source belong to --into; "
            "--drop-originals takes away the vectors that were compressed"
        )
    if ending.drop_originals and not order.in_place:
        raise InputError("--drop-originals belongs to --in-place; with --into it is --delete-source")
    if ending.drop_originals:
        _check_drop(order, source)
    if ending.alias is None or named is None:
        return
    if ending.alias == order.target:
        raise InputError(f"the new collection is called {order.target!r} already: an alias is another name for it")
    if ending.alias in (yield from target.aliases()) or not (yield from named.exists()):
        return
    if not (same_place and ending.alias == source.name):
        raise CollectionExistsError(f"{ending.alias!r} is a collection: an alias needs a name of its own")
    if target.engine != "edge" and not ending.delete_source:
        raise CollectionExistsError(
            f"{ending.alias!r} is the source's own name, and a server cannot rename a collection: let the application "
            f"open {order.target!r}, or another alias, or give {ending.alias!r} to the target by deleting the source "
            "once it is verified (--delete-source)"
        )


def _check_drop(order: Order, source: Source) -> None:
    if any("" in embeddings_of(part, source).stored for part in order.parts) and len(source.schema.vectors) == 1:
        raise InputError(
            "the original is the collection's only vector and has no name, and Qdrant cannot drop that: compress into "
            "a new collection with --into, and delete this one with --delete-source"
        )


def switch(ending: Ending, order: Order, source: Source, target: Store, *, same_place: bool) -> Flow[tuple[str, ...]]:
    """Do what was asked for; a second time changes nothing. One line for each thing done.

    Raises
    ------
    StoreError
        If the engine refuses; what was done before stays done.
    """
    done: list[str] = []
    own_name = same_place and ending.alias == source.name
    if ending.delete_source:
        if ending.alias is not None and not own_name:
            done.append((yield from _alias(ending.alias, order, target)))
        yield from source.store.drop()
        done.append(f"deleted the source {source.name!r}")
        if ending.alias is not None and own_name:
            done.append((yield from _alias(ending.alias, order, target)))
    elif ending.alias is not None and own_name:
        aside = source.name + ASIDE
        yield from source.store.close()
        yield from target.switch_alias(ending.alias, order.target, set_aside=aside)
        done.append(f"{ending.alias!r} now stands for {order.target!r}; the source is called {aside!r} from now on")
    elif ending.alias is not None:
        done.append((yield from _alias(ending.alias, order, target)))
    if ending.drop_originals:
        done.append((yield from _drop_originals(order, source)))
    return tuple(done)


def _alias(alias: str, order: Order, target: Store) -> Flow[str]:
    before = (yield from target.aliases()).get(alias)
    yield from target.switch_alias(alias, order.target)
    was = f" instead of {before!r}" if before not in (None, order.target) else ""
    return f"the alias {alias!r} now stands for {order.target!r}{was}"


def _drop_originals(order: Order, source: Source) -> Flow[str]:
    names = [name for part in order.parts for name in embeddings_of(part, source).stored]
    for part in order.parts:
        yield from source.store.drop_manifest(part.name)
        # What is added from now on need not be encoded for the original too.
        manifest = Manifest.from_json((yield from source.store.schema()).manifests[part.target])
        yield from source.store.write_manifest(replace(manifest, source=None).to_json())
    yield from source.store.drop_vectors(names)
    return f"dropped the original vectors {', '.join(map(repr, names))}"


def notes(ending: Ending, order: Order, source: Source, *, same_place: bool) -> tuple[str, ...]:
    """What is left to do for whoever gave the order."""
    if order.in_place:
        opened = ", ".join(f"vector_name={part.target!r}" for part in order.parts)
        kept = () if ending.drop_originals else (
            "the original vectors are still there, and in memory: take them away with --drop-originals once nothing "
            "searches them",
        )  # fmt: skip
        return (f"open the compressed vectors with {opened}; everything else is as it was", *kept)
    found = []
    if ending.alias is None:
        found.append(
            f"applications go on reading {source.name!r}: let them open {order.target!r}, or give it an alias by "
            "running the same command with --alias NAME"
        )
    if not ending.delete_source and not (same_place and ending.alias == source.name):
        found.append(f"the source {source.name!r} is as it was; --delete-source deletes it once it is verified")
    return tuple(found)
