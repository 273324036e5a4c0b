"""What the report tells its reader to type works, word for word."""

from __future__ import annotations

import re
import shlex
import zlib
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from typer.testing import CliRunner

import octant
from made_study import made_study
from octant.cli.app import app
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.tuning import report_html

WIDTH = 64
TEXTS = [f"word{i % 50} word{i % 7} word{i}" for i in range(300)]


class Draws:
    """A stand-in for a model: a random vector for each text, the same each time."""

    def encode(self, texts: list[str], **options: object) -> np.ndarray:
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(WIDTH) for text in texts]
        return np.asarray(rows, np.float32)


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Code of the page by its title, with a reader's own names, in a folder where recommendation.json lies."""
    study = made_study()
    chosen = replace(
        study.recommendation, represent="coarse=turbo4|turbo(1); fine=turbo8", dimension=WIDTH, points=len(TEXTS),
        hnsw=HnswSettings(m=8), placement=MemoryPlacement(), knobs=SearchKnobs(hnsw_ef=77), goal={},
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("octant.embedders.load_model", lambda name: Draws())
    chosen.save("recommendation.json")
    found = re.findall(r'<pre [^>]*aria-label="(\w+)"[^>]*><code>(.*?)</code>', report_html.page(
        replace(study, recommendation=chosen)), re.DOTALL)  # fmt: skip
    names = {"COLLECTION": "notes", "LOCATION": "data", "NEW": "small", "MODEL": "draws"}
    return {title: re.sub(r"\b[A-Z]{3,}\b", lambda m: names[m[0]], unescape(code)) for title, code in found}


def holds_what_was_recommended(name: str, location: str = "data", **options: object) -> None:
    with octant.Collection.open(name, location=location, **options) as collection:
        manifest = collection.info().manifest
        assert (manifest.represent, manifest.hnsw.m) == ("coarse=turbo4|turbo(1); fine=turbo8", 8)
        assert manifest.knobs == SearchKnobs(hnsw_ef=77)


def test_the_commands_compress_a_collection_that_exists(blocks: dict[str, str]) -> None:
    vectors = Draws().encode(TEXTS)
    with octant.Collection.create("notes", location="data", represent="float32") as collection:
        collection.add(TEXTS, vectors=vectors, ids=range(len(TEXTS)))
    plan, run = blocks["shell"].splitlines()
    for line, made in ((plan, False), (run, True)):
        assert line.startswith("octant compress notes ")
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
        assert (Path("data") / "small").exists() == made
    holds_what_was_recommended("small")


def test_the_python_makes_a_collection(blocks: dict[str, str]) -> None:
    names: dict[str, octant.Collection] = {}
    exec(blocks["Python"], names)
    with names["collection"] as collection:
        collection.add(TEXTS)
        assert collection.search(TEXTS[3], k=1)[0].text == TEXTS[3]
    holds_what_was_recommended("notes", embedding="draws")


def test_the_langchain_code_makes_a_store(blocks: dict[str, str]) -> None:
    documents = [Document(page_content=text, id=str(i)) for i, text in enumerate(TEXTS)]
    names = {"documents": documents, "embedding": DeterministicFakeEmbedding(size=WIDTH)}
    exec(blocks["LangChain"], names)
    with names["store"] as store:
        assert store.similarity_search(TEXTS[3], k=1)[0].page_content == TEXTS[3]
    holds_what_was_recommended("notes")
