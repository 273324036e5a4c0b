"""langchain-qdrant's ways to say where a collection is."""

from __future__ import annotations

from typing import Any

import pytest

from octant.errors import InputError
from octant_langchain.settings import CollectionSettings


@pytest.mark.parametrize(
    ("options", "location", "client_options"),
    [
        ({}, ":memory:", None),
        ({"path": "/data"}, "/data", None),
        ({"location": ":memory:"}, ":memory:", None),
        ({"url": "https://x.cloud.qdrant.io", "api_key": "k"}, "https://x.cloud.qdrant.io", {"api_key": "k"}),
        ({"host": "db", "port": 7000}, "http://db", {"port": 7000}),
        ({"host": "db", "https": True}, "https://db", None),
        ({"url": "https://db.example", "https": True}, "https://db.example", None),
        ({"url": "localhost:6333"}, "http://localhost:6333", None),
        ({"url": "db.example", "https": True}, "https://db.example", None),
        (
            {
                "url": "http://db",
                "prefer_grpc": True,
                "grpc_port": 6334,
                "timeout": 9,
                "client_options": {"pool_size": 2},
            },
            "http://db",
            {"prefer_grpc": True, "grpc_port": 6334, "timeout": 9, "pool_size": 2},
        ),
    ],
)
def test_places(options: dict[str, Any], location: str, client_options: dict[str, Any] | None) -> None:
    arguments = CollectionSettings(**options).creating(None)
    assert (arguments["location"], arguments["client_options"]) == (location, client_options)


def test_https_must_make_sense() -> None:
    with pytest.raises(InputError, match="https=True contradicts 'http://db'"):
        CollectionSettings(url="http://db", https=True).creating(None)
    with pytest.raises(InputError, match="https belongs to a url or a host"):
        CollectionSettings(path="/data", https=False).creating(None)


def test_clients_go_as_they_are() -> None:
    plain, awaited = object(), object()
    assert CollectionSettings(client=plain).creating(None)["location"] == (plain,)
    assert CollectionSettings(client=plain, async_client=awaited).creating(None)["location"] == (plain, awaited)


def test_the_callers_options_are_not_changed() -> None:
    mine = {"pool_size": 2}
    CollectionSettings(url="http://db", api_key="k", client_options=mine).creating(None)
    assert mine == {"pool_size": 2}


@pytest.mark.parametrize(("mode", "encoder"), [("dense", None), ("sparse", "bm25"), ("hybrid", "bm25")])
def test_new_sparse_collections_take_bm25(mode: str, encoder: str | None) -> None:
    assert CollectionSettings(retrieval_mode=mode).creating(object())["sparse"] == encoder
