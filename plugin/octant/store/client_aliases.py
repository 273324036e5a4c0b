"""Other names of a server's collections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from octant.errors import CollectionExistsError, CollectionNotFoundError
from octant.flow import Flow
from octant.store.client_connection import Connection


def read(connection: Connection) -> Flow[Mapping[str, str]]:
    """Every alias, and the collection it stands for."""
    found = yield from connection.ask(lambda client: client.get_aliases(), "aliases")
    return {entry.alias_name: entry.collection_name for entry in found.aliases}


def switch(connection: Connection, alias: str, to: str | None) -> Flow[None]:
    """Let ``alias`` stand for ``to``, in one request; see :meth:`octant.store.base.Store.switch_alias`."""
    known = yield from read(connection)
    operations: list[Any] = []
    if alias in known:
        gone = models.DeleteAlias(alias_name=alias)
        operations.append(models.DeleteAliasOperation(delete_alias=gone))
    elif (yield from _exists(connection, alias)):
        raise CollectionExistsError(
            f"{alias!r} is itself a collection at {connection.location}, and no alias can have its name: choose "
            "another alias, or drop that collection first"
        )
    if to is not None:
        if to in known or not (yield from _exists(connection, to)):
            raise CollectionNotFoundError(
                f"no collection {to!r} at {connection.location}: an alias stands for one that is there"
            )
        made = models.CreateAlias(collection_name=to, alias_name=alias)
        operations.append(models.CreateAliasOperation(create_alias=made))
    if operations:
        yield from connection.ask(lambda client: client.update_collection_aliases(operations), alias)


def _exists(connection: Connection, name: str) -> Flow[bool]:
    return bool((yield from connection.ask(lambda client: client.collection_exists(name), name)))
