"""MaxSim over the real model's token vectors, and over vectors that are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

import octant
from octant.embedders import embedder
from octant.errors import InputError
from octant.flow import run
from octant.records import Candidate, FloatArray, Ranking
from octant.rerankers.maxsim import maxsim
from octant.rerankers.token_memory import TokenMemory
from octant.testing import check_reranker

QUERY = "How many hearts does an octopus have?"
TEXTS = ("Bread rises while it rests.", "An octopus has three hearts.", "The ship carried octants.", "Hearts of palm")


def ranking(texts: Sequence[str]) -> Ranking:
    return Ranking(tuple(Candidate(i, 1.0 - i / 100, text) for i, text in enumerate(texts)), QUERY)


def test_maxsim_is_the_mean_of_the_greatest_cosines() -> None:
    rng = np.random.default_rng(0)

    def unit(count: int) -> FloatArray:
        rows = rng.standard_normal((count, 8)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    query, passages = unit(5), [unit(count) for count in (1, 7, 3, 12)]
    slow = [np.mean([max(float(q @ p) for p in passage) for q in query]) for passage in passages]
    np.testing.assert_allclose(maxsim(query, passages), slow, atol=1e-6)
    assert maxsim(query, [query])[0] == pytest.approx(1.0, abs=1e-6)


def test_the_models_own_tokens_without_padding_and_what_it_adds(minilm: Any) -> None:
    model = embedder(minilm)
    texts = ["An octopus has three hearts.", "Bread"]
    together = run(model.embed_document_tokens(texts))
    assert [len(vectors) for vectors in together] == [len(minilm.tokenizer.tokenize(text)) for text in texts]
    for text, vectors in zip(texts, together, strict=True):
        whole = minilm.encode([text], output_value="token_embeddings")[0].cpu().numpy()[1:-1]
        np.testing.assert_allclose(vectors, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(run(model.embed_query_tokens([""]))[0]) == 2  # nothing but what the model adds


def test_it_keeps_the_contract_with_the_real_model(minilm: Any) -> None:
    check_reranker(octant.reranker("maxsim", embedding=minilm), n=6)


def test_the_right_passage_comes_first_however_it_is_batched(minilm: Any) -> None:
    done = octant.reranker("maxsim", embedding=minilm).rerank(QUERY, ranking(TEXTS))
    assert done.ids[0] == 1
    assert done.score_kind == "cosine"
    one = octant.reranker("maxsim(batch_size=1)", embedding=minilm).rerank(QUERY, ranking(TEXTS))
    assert one.ids == done.ids
    np.testing.assert_allclose(one.scores, done.scores, atol=1e-4)


def test_passages_that_come_again_are_not_embedded_again(minilm: Any) -> None:
    reranker = octant.reranker("maxsim", embedding=minilm)
    first = reranker.rerank(QUERY, ranking([*TEXTS, TEXTS[0]]))
    assert first.report.statistics["passages embedded"] == 4
    again = reranker.rerank(QUERY, ranking([*TEXTS, TEXTS[0]]))
    assert again.report.statistics["passages embedded"] == 0
    assert again.scores == first.scores
    without = octant.reranker("maxsim(memory_mb=0)", embedding=minilm)
    for _ in range(2):
        assert without.rerank(QUERY, ranking(TEXTS)).report.statistics["passages embedded"] == 4


def test_passages_that_are_longer_than_the_model_reads_are_told(minilm: Any) -> None:
    done = octant.reranker("maxsim", embedding=minilm).rerank(QUERY, ranking(["hearts " * 300, TEXTS[1]]))
    room = minilm.max_seq_length - 2
    assert f"1 of 2 passages were longer than the {room} tokens that the model reads" in done.report.remarks


async def test_awaited_it_does_the_same(minilm: Any) -> None:
    reranker = octant.reranker("maxsim", embedding=minilm)
    assert (await reranker.arerank(QUERY, ranking(TEXTS))).ids == reranker.rerank(QUERY, ranking(TEXTS)).ids


def test_a_model_that_gives_no_tokens_is_refused() -> None:
    plain = octant.reranker("maxsim", embedding=lambda texts: [[1.0, 0.0]] * len(texts))
    with pytest.raises(InputError, match="gives one vector a text and none of its tokens: pass a sentence-transformer"):
        plain.rerank(QUERY, ranking(TEXTS))
    with pytest.raises(InputError, match="embeds texts: pass embedding="):
        octant.reranker("maxsim")


def test_the_memory_forgets_what_was_not_used_for_longest() -> None:
    rows = np.ones((2, 4), np.float32)
    memory = TokenMemory(3 * rows.nbytes)
    for text in "abc":
        memory.keep("model", text, rows)
    memory.find("model", ["a"])
    memory.keep("model", "d", rows)
    assert [found is not None for found in memory.find("model", list("abcd"))] == [True, False, True, True]
    assert (len(memory), memory.nbytes) == (3, 3 * rows.nbytes)
    memory.keep("model", "too long", np.ones((100, 4), np.float32))
    assert memory.find("other model", ["a"]) == memory.find("model", ["too long"]) == [None]


# -- kept in Qdrant --------------------------------------------------------------------------------

DOCUMENTS = {"bread": TEXTS[0], "octopus": TEXTS[1], "ship": TEXTS[2], "palm": TEXTS[3], 7: "A spider has eight legs."}


@pytest.fixture(params=["edge", "local"])
def collection(request: pytest.FixtureRequest, minilm: Any, tmp_path: Any) -> Iterator[octant.Collection]:
    """Real vectors in both engines that need no server."""
    place: Any = tmp_path / "data" if request.param == "edge" else QdrantClient(":memory:")
    with octant.Collection.create("animals", location=place, embedding=minilm, represent="turbo8") as made:
        made.add(list(DOCUMENTS.values()), ids=list(DOCUMENTS))
        yield made


@pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")
async def test_qdrant_compares_the_tokens_that_it_keeps(collection: octant.Collection) -> None:
    assert collection.store_tokens() == 5
    assert collection.store_tokens() == 0
    found = collection.search(QUERY, k=5)
    assert len(found) == 5
    computed = octant.reranker("maxsim", collection=collection).rerank(QUERY, found)
    stored = octant.reranker("maxsim(stored=tokens)", collection=collection)
    done = stored.rerank(QUERY, found)
    assert done.ids == computed.ids
    assert done.ids[0] == "octopus"
    np.testing.assert_allclose(done.scores, computed.scores, atol=2e-3)
    assert done.report.statistics == {"passages scored in Qdrant": 5}
    assert (await stored.arerank(QUERY, found)).ids == done.ids
    # What was written later has none yet, and is embedded; a second call brings it in.
    collection.add(["A squid has three hearts too."], ids=["squid"])
    found = collection.search(QUERY, k=6)
    mixed = stored.rerank(QUERY, found)
    assert "1 of 6 passages have no token vectors 'tokens': embedded" in mixed.report.remarks
    assert mixed.report.statistics["passages embedded"] == 1
    assert collection.store_tokens() == 1
    np.testing.assert_allclose(stored.rerank(QUERY, found).scores, mixed.scores, atol=2e-3)
    # The first stage is what it was.
    assert collection.search("bread", k=1).ids == ("bread",)


@pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")
def test_token_scores_of_what_is_not_there_are_left_out(collection: octant.Collection) -> None:
    collection.store_tokens("rows", datatype="float32")
    scores = collection.token_scores(QUERY, [7, "octopus", "nobody"], name="rows")
    assert set(scores) == {7, "octopus"}
    assert collection.token_scores(QUERY, [], name="rows") == {}


def test_they_are_kept_when_the_collection_is_closed(minilm: Any, tmp_path: Any) -> None:
    with octant.Collection.create("animals", location=tmp_path, embedding=minilm, represent="turbo8") as made:
        made.add(list(DOCUMENTS.values()), ids=list(DOCUMENTS))
        made.store_tokens(datatype="turbo8")
        before = made.token_scores(QUERY, list(DOCUMENTS))
    with octant.Collection.open("animals", location=tmp_path, embedding=minilm) as opened:
        assert opened.token_scores(QUERY, list(DOCUMENTS)) == pytest.approx(before, abs=1e-6)
        assert opened.search(QUERY, k=1).ids == ("octopus",)


@pytest.mark.filterwarnings("ignore::octant.errors.LocalModeWarning")
def test_token_vectors_are_refused_where_they_cannot_be(collection: octant.Collection, minilm: Any) -> None:
    found = collection.search(QUERY, k=5)
    with pytest.raises(InputError, match=r"has no multivector 'tokens' \(it has none\): call store_tokens"):
        octant.reranker("maxsim(stored=tokens)", collection=collection).rerank(QUERY, found)
    with pytest.raises(InputError, match="compares vectors that the collection keeps: pass collection="):
        octant.reranker("maxsim(stored=tokens)", embedding=minilm)
    with pytest.raises(InputError, match="token vectors need a name of their own, got an empty one"):
        collection.store_tokens("")
    with pytest.raises(InputError, match="datatype must be one of float32, float16, turbo8, turbo4; got 'uint8'"):
        collection.store_tokens(datatype="uint8")
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        collection.store_tokens(batch_size=0)
    with octant.Collection.create("plain", embedding=lambda texts: [[1.0, 0.0]] * len(texts)) as plain:
        plain.add(["text"])
        with pytest.raises(InputError, match="gives one vector a text and none of its tokens"):
            plain.store_tokens()
    with octant.Collection.create("empty", embedding=minilm) as empty, pytest.raises(InputError):
        empty.store_tokens(datatype="nonsense")  # type: ignore[arg-type]
