"""``octant.from_config``: what the pipeline of a configuration does."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from qdrant_client import QdrantClient

import octant
from fake_server import serving
from made_embeddings import HashedWords, documents
from octant import Pipeline
from octant.errors import CollectionNotFoundError, ConfigError, InputError, MismatchError

TEXTS = documents()
QUERY = "glaciers note10"
SEVERAL: dict[str, Any] = {"small": {"represent": "turbo8"}, "large": {"represent": "pca(16)|turbo8"}}

pytestmark = pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")


def models() -> dict[str, HashedWords]:
    return {"small": HashedWords(1), "large": HashedWords(2, 48)}


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    """A folder with a collection of two embeddings and BM25."""
    config = {"collection": "docs", "create": True, "store": str(tmp_path), "embeddings": SEVERAL, "sparse": "bm25"}
    with octant.from_config(config, embeddings=models()) as pipeline:
        pipeline.collection.add(TEXTS, ids=range(len(TEXTS)))
    return tmp_path


def described(folder: Path, **more: Any) -> dict[str, Any]:
    return {"collection": "docs", "store": str(folder), "embeddings": {"small": {}, "large": {}}, **more}


@pytest.fixture
def pipeline(indexed: Path) -> Iterator[Pipeline]:
    config = described(indexed, search={"k": 3, "candidates": 20}, select="fuse", rerank="lexical")
    with octant.from_config(config, embeddings=models()) as opened:
        yield opened


# -- retrieving ----------------------------------------------------------------------------------


def test_it_chooses_and_reranks(pipeline: Pipeline) -> None:
    found = pipeline.retrieve(QUERY)
    assert len(found.ranking) == 3
    assert found.ranking[0].id == 10
    assert found.decision is not None
    assert found.decision.chosen == "small + large + sparse"
    assert found.report is not None
    assert not found.abstained
    assert found.ranking[0].first_stage_score is not None
    assert repr(pipeline) == "Pipeline('docs', select=fuse, rerank=lexical)"


async def test_the_awaited_twins_do_the_same(pipeline: Pipeline) -> None:
    expected = pipeline.retrieve(QUERY)
    assert (await pipeline.aretrieve(QUERY)).ranking.ids == expected.ranking.ids
    first, second = await pipeline.aretrieve_batch([QUERY, "looms note5"], k=1)
    assert first.ranking.ids == expected.ranking.ids[:1]
    assert second.ranking.ids == (5,)
    assert [one.ranking.ids for one in pipeline.retrieve_batch([QUERY, "looms note5"], 1)] == [
        first.ranking.ids, second.ranking.ids
    ]  # fmt: skip


def test_filters_reach_every_embedding(pipeline: Pipeline) -> None:
    found = pipeline.retrieve(QUERY, filter={"must": [{"has_id": [1, 2]}]})
    assert set(found.ranking.ids) == {1, 2}


def test_a_model_that_fails_is_in_the_decision(pipeline: Pipeline) -> None:
    pipeline.collection._core.siblings["large"].embedder.source.broken = "down"  # type: ignore[union-attr, attr-defined]
    found = pipeline.retrieve(QUERY)
    assert found.ranking[0].id == 10
    assert found.decision is not None
    assert found.decision.failures == {"large": "ConnectionError: down"}


def test_one_embedding_is_searched_as_configured(indexed: Path) -> None:
    config = described(indexed, search={"embedding": "large", "k": 2, "knobs": {"exact": True}})
    with octant.from_config(config, embeddings=models()) as opened:
        found = opened.retrieve("tides")
        assert found.ranking == opened.collection.search("tides", 2, embedding="large")
        assert found.decision is None
    with octant.from_config(described(indexed, search={"mode": "hybrid"}), embeddings=models()) as opened:
        assert opened.retrieve("note10").ranking[0].branch_scores.keys() == {"dense", "sparse"}


def test_what_is_too_unsure_is_withheld(indexed: Path) -> None:
    with octant.from_config(described(indexed, confidence={"abstain_below": 1}), embeddings=models()) as opened:
        found = opened.retrieve(QUERY)
    assert found.abstained
    assert not found.ranking
    assert found.withheld is not None
    assert found.withheld[0].id == 10
    assert found.decision is not None
    assert "is below 1.00: nothing is returned" in found.decision.remarks[-1]


def test_a_confidence_at_the_threshold_is_not_withheld(indexed: Path) -> None:
    with octant.from_config(described(indexed, select="fuse"), embeddings=models()) as opened:
        decision = opened.retrieve(QUERY).decision
    assert decision is not None
    exactly = decision.confidence
    assert 0 < exactly < 1
    for below, abstains in ((exactly, False), (math.nextafter(exactly, 1), True)):
        config = described(indexed, select="fuse", confidence={"abstain_below": below})
        with octant.from_config(config, embeddings=models()) as opened:
            assert opened.retrieve(QUERY).abstained is abstains


def test_reranking_by_a_model(indexed: Path) -> None:
    asked: list[str] = []

    def model(prompt: str) -> str:
        asked.append(prompt)
        return "[3] > [2] > [1]"

    config = described(indexed, rerank={"spec": "listwise", "max_calls": 1}, search={"k": 3, "candidates": 3})
    with octant.from_config(config, embeddings=models(), model=model) as opened:
        found = opened.retrieve(QUERY)
        first = opened.collection.search(QUERY, 3)
    assert found.ranking.ids == first.ids[::-1]
    assert len(asked) == 1


def test_a_chat_model_by_name_gets_its_key(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_KEY", "s3cret")
    made = SimpleNamespace(init_chat_model=lambda name, **options: SimpleNamespace(name=name, options=options))
    monkeypatch.setitem(sys.modules, "langchain.chat_models", made)
    chat = {"name": "acme:one", "api_key": "${CHAT_KEY}", "options": {"temperature": 0}}
    with octant.from_config(described(indexed, model=chat), embeddings=models()) as opened:
        assert opened.model.options == {"api_key": "s3cret", "temperature": 0}

    def refuse(name: str, **options: Any) -> None:
        raise ValueError(f"bad arguments {options}")

    monkeypatch.setitem(sys.modules, "langchain.chat_models", SimpleNamespace(init_chat_model=refuse))
    with pytest.raises(InputError, match="cannot set up the chat model 'acme:one'") as raised:
        octant.from_config(described(indexed, model=chat), embeddings=models())
    assert "s3cret" not in str(raised.value)


def test_an_embedding_model_of_a_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[Any] = []

    def init_embeddings(name: str, **options: Any) -> HashedWords:
        given.append((name, options))
        return HashedWords(1)

    monkeypatch.setitem(sys.modules, "langchain.embeddings", SimpleNamespace(init_embeddings=init_embeddings))
    embedding = {"model": "acme:small", "options": {"dimensions": 32}}
    config = {"collection": "docs", "create": True, "store": str(tmp_path), "embedding": embedding}
    with octant.from_config(config) as opened:
        opened.collection.add(TEXTS)
        assert len(opened.retrieve(QUERY).ranking) == 5
    assert given == [("acme:small", {"dimensions": 32})]
    with pytest.raises(InputError, match=r"options \(dimensions\) are for the model of a provider"):
        octant.from_config({**config, "embedding": {**embedding, "model": "all-MiniLM-L6-v2"}})


# -- where it is ---------------------------------------------------------------------------------


def test_files_lie_beside_the_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "octant.yaml").write_text(yaml.safe_dump({"collection": "docs", "create": True, "store": "data"}))
    with octant.from_config(folder / "octant.yaml", embedding=HashedWords(1)) as opened:
        opened.collection.add(TEXTS)
    assert (folder / "data" / "docs").is_dir()


def test_a_client_may_be_given(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    config = {"collection": "docs", "create": True}
    with octant.from_config(config, location=client, embedding=HashedWords(1)) as opened:
        opened.collection.add(TEXTS, ids=range(len(TEXTS)))
        assert opened.retrieve(QUERY).ranking[0].id == 10
    with octant.from_config({**config, "store": {"location": client}}, embedding=HashedWords(1)) as opened:
        assert opened.collection.count() == len(TEXTS)
    client.close()


def test_a_server_gets_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_KEY", "s3cret")
    with serving() as fake:
        store = {"location": fake.url, "api_key": "${QDRANT_KEY}", "timeout": 30}
        config = {"collection": "d", "create": True, "store": store}
        with pytest.warns(UserWarning, match="insecure connection"):
            octant.from_config(config, embedding=HashedWords(1)).close()
        assert {request.headers.get("api-key") for request in fake.requests} == {"s3cret"}


# -- what cannot be ------------------------------------------------------------------------------


def test_a_collection_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="'create: true' in the configuration makes it"):
        octant.from_config({"collection": "none", "store": str(tmp_path)})


@pytest.mark.parametrize(
    ("more", "given", "error", "message"),
    [
        ({"embeddings": {"small": {"represent": "turbo4"}, "large": {}}}, {}, MismatchError, "represent is 'turbo8'"),
        ({"embeddings": {"small": {}, "huge": {}}}, {}, MismatchError, "a model for 'huge'"),
        ({"cutoff": "attached"}, {}, InputError, "no cutoff is attached to the collection"),
        ({"rerank": "listwise"}, {}, InputError, "llm"),
        ({"select": {"spec": "fuse", "embeddings": ["small"]}}, {"small": None}, InputError, "take a question are"),
        ({}, {"other": HashedWords(3)}, InputError, "has the embeddings 'small', 'large'; got a model for 'other'"),
    ],
)
def test_what_does_not_fit_the_collection(
    indexed: Path, more: dict[str, Any], given: dict[str, Any], error: type[Exception], message: str
) -> None:
    config = described(indexed, **more)
    known = {**models(), **given}
    taken = {name: model for name, model in known.items() if name in config["embeddings"] or name == "other"}
    if "huge" in config["embeddings"]:
        taken["huge"] = HashedWords(3)
    with pytest.raises(error, match=message):
        octant.from_config(config, embeddings=taken)
    octant.from_config(described(indexed), embeddings=models()).close()  # nothing holds the lock


def test_models_are_passed_as_the_configuration_has_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pass their models as embeddings="):
        octant.from_config(described(tmp_path), embedding=HashedWords(1))
    with pytest.raises(InputError, match="pass its model as embedding="):
        octant.from_config({"collection": "docs"}, embeddings=models())
    with pytest.raises(ConfigError, match="collection: is missing"):
        octant.from_config({})


def test_questions_are_texts(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="a question is a text, got int"):
        pipeline.retrieve(7)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a list of questions, got one string"):
        pipeline.retrieve_batch("one")


def test_importing_octant_reads_no_yaml() -> None:
    code = "import sys, octant; print('yaml' in sys.modules, 'octant.config' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False False\n"
