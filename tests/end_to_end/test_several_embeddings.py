"""Several embeddings from beginning to end: a real model, and a process that is killed while one is added."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import octant
from made_embeddings import HashedWords, documents
from octant import Collection

TEXTS = documents()
CHILD = Path(__file__).with_name("add_embedding_child.py")
PASSAGES = {
    "hearts": "The octopus has three hearts and blue blood.",
    "bread": "Dough rises because yeast makes carbon dioxide.",
    "sextant": "A sextant measures the angle between two visible objects.",
    "glacier": "Ice of a glacier flows slowly downhill under its own weight.",
}


@pytest.mark.parametrize(
    ("represent", "lives"),
    [("turbo8", 1), ("turbo8", 40), ("pca(16)|turbo8", 20), ("pca(16)|turbo8", 100)],
)
def test_killed_it_goes_on_and_nobody_noticed(tmp_path: Path, represent: str, lives: int) -> None:
    with Collection.create("docs", location=tmp_path, embedding=HashedWords(1)) as collection:
        collection.add(TEXTS, ids=range(len(TEXTS)))
        before = collection.search("glaciers note10")
    arguments = [sys.executable, str(CHILD), str(tmp_path), represent, str(lives)]
    child = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    model = HashedWords(2, 48)
    with Collection.open("docs", location=tmp_path, embedding=HashedWords(1)) as collection:
        assert collection.search("glaciers note10") == before
        collection.add_embedding("large", model, represent=represent, batch_size=16)
        assert collection.count({"must_not": [{"has_vector": "large"}]}) == 0
        assert {one.id for one in collection.search("glaciers note10", embedding="large", k=10)} >= {10}
    if represent == "turbo8" and lives == 40:
        assert model.seen < 50  # two batches were done before
    both = {"dense": HashedWords(1), "large": HashedWords(2, 48)}
    with Collection.open("docs", location=tmp_path, embeddings=both) as collection:
        assert all(info.complete for info in collection.embeddings.values())


def test_a_real_model_beside_another_one(minilm: Any, minilm_path: str, tmp_path: Path) -> None:
    config = {
        "collection": "facts", "create": True, "store": str(tmp_path), "sparse": "bm25", "select": "fuse",
        "embeddings": {"minilm": {"model": minilm_path}, "words": {}}, "search": {"k": 2},
    }  # fmt: skip
    with octant.from_config(config, embeddings={"minilm": minilm, "words": HashedWords(1, 64)}) as pipeline:
        pipeline.collection.add(list(PASSAGES.values()), ids=list(PASSAGES))
        found = pipeline.collection.search_each("How many hearts does an octopus have?")
        assert [ranking[0].id for ranking in found.values()] == ["hearts"] * 3
        meant = pipeline.retrieve("Why does a loaf get bigger in the oven?")
        assert meant.decision is not None
        assert "bread" in meant.ranking.ids
    with octant.from_config(config, embeddings={"minilm": minilm, "words": HashedWords(1, 64)}) as pipeline:
        assert pipeline.retrieve("angle between objects").ranking[0].id == "sextant"
        assert pipeline.collection.embeddings["minilm"].model is not None
