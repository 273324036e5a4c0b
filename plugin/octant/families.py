"""Which of a collection's vectors are meant, and which others a new document needs. Pure.

A *family* is what one manifest describes: one vector, or a coarse and a fine one. A dense vector that no manifest
describes is somebody else's, and a family of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from octant.errors import MismatchError
from octant.manifest import Manifest
from octant.schema import CollectionSchema


def choose(schema: CollectionSchema, wanted: str) -> str | None:
    """Name of the family that an ``open`` means; None where nothing is dense.

    Parameters
    ----------
    schema : CollectionSchema
    wanted : str
        As the caller named it; empty for the unnamed one, or else for the first one that was not made of another: to
        add a compressed copy of a vector, or a further embedding, changes nothing for those who open the collection
        without naming one.

    Raises
    ------
    MismatchError
        If there is none of that name; or if there are several, some of them another client's, and none was named:
        which there are.
    """
    names = [*schema.manifests, *foreign(schema)]
    if wanted in names:
        return wanted
    listed = ", ".join(map(repr, sorted(names))) or "none"
    if wanted:
        raise MismatchError(
            f"the collection has no dense vector named {wanted!r}; it has {listed}: pass one of them as vector_name="
        )
    found = originals(schema)
    if len(found) > 1 and not all(name in schema.manifests for name in found):
        raise MismatchError(f"the collection has several dense vectors, {listed}: say which one with vector_name=")
    return found[0] if found else None


def originals(schema: CollectionSchema) -> list[str]:
    """Families that were not made of another one: the embeddings that a collection has, first the first."""
    names = [*schema.manifests, *foreign(schema)]
    return [name for name in names if (root := _root(schema, name)) == name or root not in names]


def first(schema: CollectionSchema) -> str | None:
    """Name of some family, to look at a collection rather than to search it: the unnamed one where there is one."""
    names = [*schema.manifests, *foreign(schema)]
    return "" if "" in names else next(iter(names), None)


def foreign(schema: CollectionSchema) -> list[str]:
    """Dense vectors that can be searched and that no manifest describes."""
    described = {name for family in schema.manifests for name in members(schema, family)}
    return [vector.name for vector in schema.vectors if not vector.multivector and vector.name not in described]


def members(schema: CollectionSchema, family: str) -> tuple[str, ...]:
    """Names of the vectors of the manifest of ``family``: its own, or a coarse and a fine one."""
    prefix = f"{family}." if family else ""
    stages = (f"{prefix}coarse", f"{prefix}fine")
    return stages if set(stages) <= set(schema.names) else (family,)


@dataclass(frozen=True)
class Kin:
    """What stands beside the family that is open.

    Attributes
    ----------
    twins : tuple of str
        Families made of the same embeddings: a new document gets them too.
    siblings : tuple of str
        Families made of other embeddings: a new document gets them too, from models of their own.
    strangers : tuple of str
        Vectors, dense or sparse, that nobody here can make: a new document would be without them.
    """

    twins: tuple[str, ...] = ()
    siblings: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()


def kin(schema: CollectionSchema, opened: Manifest, sparse: str | None) -> Kin:
    """What stands beside ``opened``.

    Parameters
    ----------
    schema : CollectionSchema
    opened : Manifest
        Of the open family; of somebody else's vector, as if Octant had made it.
    sparse : str or None
        The sparse vector that is looked after.
    """
    root = opened.vector_name if opened.source is None else opened.source
    names = [*schema.manifests, *foreign(schema)]
    twins = tuple(name for name in names if name != opened.vector_name and _root(schema, name) == root)
    own = (opened.vector_name, *twins, root)
    siblings = tuple(name for name in originals(schema) if name in schema.manifests and name not in own)
    made_by_others = [name for name in schema.manifests if _root(schema, name) in siblings]
    families = (opened.vector_name, *twins, *siblings, *made_by_others)
    made = {member for name in families for member in members(schema, name)} | {sparse}
    return Kin(twins, siblings, tuple(name for name in schema.names if name not in made))


def _root(schema: CollectionSchema, name: str) -> str:
    source = schema.manifests.get(name, {}).get("source")
    return name if source is None else str(source)
