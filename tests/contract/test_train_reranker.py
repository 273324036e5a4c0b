"""Training on a collection: by judgements, by a teacher, sync and async, on any representation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from octant import Collection, Question, adopt_reranker, atrain_reranker, reranker, train_reranker
from octant.errors import InputError, MismatchError
from octant.gathering import gather
from octant.rerankers.learned import LearnedPart

COUNT = 48


def embed(texts: list[str]) -> np.ndarray:
    """Every guild is like any other: vectors tell only whether a text is long."""
    rows = [np.random.default_rng(len(text)).normal(size=8) for text in texts]
    return np.asarray(rows, np.float32)


def questions(count: int = COUNT, judged: bool = True) -> list[Question]:
    return [Question(f"q{i}", f"who founded guild{i}", {str(i): 1.0} if judged else {}) for i in range(count)]


@pytest.fixture(params=["float32", "turbo4"])
def docs(request: pytest.FixtureRequest) -> Iterator[Collection]:
    with Collection.create("docs", embedding=embed, represent=request.param, sparse="bm25") as collection:
        towns = ("in the old town", "by the river", "on the hill over the bay")
        collection.add([f"masons founded guild{i} {towns[i % 3]}" for i in range(COUNT)], ids=range(COUNT))
        yield collection


def test_what_is_gathered_has_vectors_judgements_and_an_origin(docs: Collection) -> None:
    found = gather(docs, questions(5), k=7)
    assert len(found) == 5
    assert found.corpus == docs.corpus()
    assert found.embedding == docs.manifest.embedding
    assert found.first_stage == "dense cosine"
    for one in found:
        assert len(one.ranking) == 7
        assert one.vector is not None
        assert all(candidate.vector is not None for candidate in one.ranking)
        assert all(isinstance(point, int) or point not in one.ranking.ids for point in one.gains)
    assert gather(docs, questions(2), k=3, mode="sparse").first_stage == "sparse"
    assert gather(docs, questions(2), k=3, mode="hybrid").first_stage == "hybrid"


def test_judgements_teach_and_what_was_learned_is_attached(docs: Collection) -> None:
    part = asyncio.run(atrain_reranker("learned", docs, questions(), k=COUNT))
    assert docs.trained(LearnedPart) == part
    assert part.report.figures[0].after > 0.9
    assert train_reranker("learned", docs, questions(), k=COUNT, attach=False) == part


def test_a_teacher_teaches_without_judgements(docs: Collection) -> None:
    part = train_reranker(
        "learned", docs, questions(judged=False), teacher=reranker("lexical(5)"), k=COUNT, attach=False
    )
    assert part.report.figures[0].after > part.report.figures[0].before + 0.2
    assert docs.attached() == ()
    with pytest.raises(InputError, match="nothing that is judged relevant was found"):
        train_reranker("learned", docs, questions(judged=False), k=COUNT)


def test_what_was_learned_on_one_kind_of_search_is_not_adopted_for_another(docs: Collection) -> None:
    part = train_reranker("learned", docs, questions(), k=COUNT)
    adopted = adopt_reranker(part, docs, questions(), k=COUNT)
    assert adopted.origin.corpora[docs.corpus()].validated_on == COUNT
    assert docs.trained(LearnedPart) == adopted
    with pytest.raises(MismatchError, match="trained on 'dense cosine' rankings, these are 'sparse'"):
        adopt_reranker(part, docs, questions(), k=COUNT, mode="sparse")


def by_number(texts: list[str]) -> np.ndarray:
    """A text is near those that end in the same number, modulo their count; no word in common is needed."""
    ends = [text.rpartition(" ")[2] for text in texts]
    rows = [np.random.default_rng(int(end) % COUNT if end.isdigit() else COUNT).normal(size=8) for end in ends]
    return np.asarray(rows, np.float32)


def test_after_a_search_by_words_the_stored_vectors_are_compared_with_the_query(tmp_path: Path) -> None:
    with Collection.create("docs", location=tmp_path / "store", embedding=by_number, sparse="bm25") as made:
        made.add([f"masons built hall {row}" for row in range(COUNT)], ids=range(COUNT))
        # All documents share one word with every question, so that a search by words cannot tell them apart.
        asked = [Question(f"q{n}", f"masons {n}", {str(n % COUNT): 1.0}) for n in range(COUNT, 3 * COUNT)]
        part = train_reranker("learned(vectors=true)", made, asked, k=COUNT, mode="sparse")
        assert "cosines with the query" in part.report.learned
        assert not part.report.no_change
        query = f"masons {3 * COUNT + 5}"
        found = made.search(query, k=COUNT, mode="sparse", with_vectors=True)
        assert len(found) == COUNT
        assert reranker(part.spec, collection=made).rerank(query, found, k=1).ids == (5,)


def test_nothing_to_ask_and_nothing_to_train_are_refused(docs: Collection) -> None:
    with pytest.raises(InputError, match="at least one judged question"):
        train_reranker("learned", docs, [])
    with pytest.raises(InputError, match="learns nothing from judged rankings"):
        train_reranker("lexical", docs, questions())
