"""Training E2Rank: only the query's side learns, it resumes to the last bit, and no change wins every doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from made_e2rank import embedding_model_in, judged_rankings, loaded
from octant import Ranking, flow, reranker
from octant.embedders import embedder
from octant.errors import InputError, MismatchError
from octant.flow import Flow
from octant.judged import Judged, JudgedRankings
from octant.records import EmbeddingIdentity
from octant.rerankers import Order, Reranker, Run
from octant.rerankers.e2rank import E2Rank
from octant.rerankers.e2rank_data import Batch, Lists, in_order
from octant.rerankers.e2rank_learner import WEIGHTS, PseudoQueries
from octant.rerankers.e2rank_model import RECORD, E2RankRecord, Use
from octant.rerankers.e2rank_training import Effort, adopt, train
from octant.rerankers.teacher import taught
from octant.tokens import Tokens
from octant.work import QUIET, Work

torch = pytest.importorskip("torch", reason="needs the extra [models]")

T = TypeVar("T")
EFFORT = Effort(steps=24, batch=8, rate=5e-2, layers=1, passages=4, shortest=8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return embedding_model_in(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(path: str) -> Any:
    return loaded(path)


@pytest.fixture(scope="module")
def judged(path: str, model: Any) -> JudgedRankings:
    return judged_rankings(model, embedder(path).identity, questions=120)


class Searched:
    """A collection of which only the identity matters."""

    embedding = None

    def corpus(self) -> str:
        return "made-up"

    async def acorpus(self) -> str:
        return "made-up"


# -- what is learned -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(path: str, judged: JudgedRankings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, E2RankRecord]:
    folder = tmp_path_factory.mktemp("out") / "e2rank"
    return folder, train(path, judged, folder, effort=EFFORT)


def test_what_was_trained_reranks_as_it_was_validated(
    trained: tuple[Path, E2RankRecord], path: str, judged: JudgedRankings
) -> None:
    folder, record = trained
    assert record.use.tuned, "the made-up rankings are in random order: any training should help"
    assert record.use.weight in WEIGHTS
    assert not record.report.no_change
    assert (record.report.fitted_on, record.report.validated_on) == (90, 30)
    assert E2RankRecord.read(folder) == record
    ready = reranker(E2Rank(str(folder)), embedding=path, collection=Searched())
    _, held = judged.split(0.25, seed=0)
    gains = []
    for one in held:
        done = ready.rerank(one.query, one.ranking)
        assert done.report is not None
        assert done.report.failure is None
        gains.append([one.gains.get(point, 0) for point in done.ids])
    ndcg = np.mean([sum(gain / np.log2(2 + place) for place, gain in enumerate(row)) for row in gains])
    assert record.report.figures[0].after == pytest.approx(ndcg, abs=1e-6)


def test_the_folder_is_a_sentence_transformers_model_without_pickles(trained: tuple[Path, E2RankRecord]) -> None:
    folder, _ = trained
    names = {file.name for file in folder.rglob("*") if file.is_file()}
    assert {"model.safetensors", "modules.json", RECORD} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    assert loaded(str(folder)).encode_query(["the apple"]).shape == (1, 16)


def test_only_the_last_layers_change_and_the_model_that_was_given_does_not(
    model: Any, judged: JudgedRankings, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    record = train(model, judged, tmp_path / "out", effort=EFFORT)
    assert record.use.tuned
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    after = loaded(str(tmp_path / "out")).state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    assert all(re.search(r"layer\.2\.", name) for name in changed), changed


def in_order_of_gains(one: Judged) -> Ranking:
    best_first = sorted(one.ranking, key=lambda candidate: -one.gains.get(candidate.id, 0))
    return replace(one.ranking, candidates=tuple(best_first))


def test_nothing_to_gain_is_no_change_and_leaves_no_weights(path: str, judged: JudgedRankings, tmp_path: Path) -> None:
    best_first = tuple(replace(one, ranking=in_order_of_gains(one)) for one in judged)
    record = train(path, replace(judged, queries=best_first), tmp_path / "out", effort=replace(EFFORT, steps=2))
    assert record.report.no_change
    assert (record.use.weight, record.use.tuned) == (0.0, False)
    assert [file.name for file in (tmp_path / "out").iterdir()] == [RECORD]
    assert "no model was surely better" in str(record.report)
    done = reranker(E2Rank(str(tmp_path / "out")), embedding=path, collection=Searched()).rerank("q", judged[0].ranking)
    assert done.ids == judged[0].ranking.ids


def test_without_steps_only_the_use_is_chosen(path: str, judged: JudgedRankings, tmp_path: Path) -> None:
    record = train(path, judged, tmp_path / "out", effort=replace(EFFORT, steps=0))
    assert not record.use.tuned
    assert f"chosen among {len(WEIGHTS)} ways" in record.report.remarks[0]


def test_the_same_seed_gives_the_same_model(
    path: str, judged: JudgedRankings, trained: tuple[Path, E2RankRecord], tmp_path: Path
) -> None:
    again = train(path, judged, tmp_path / "out", effort=EFFORT)
    assert again == trained[1]


# -- interrupted ---------------------------------------------------------------------------------


class Stops(Work):
    """Work whose training is killed after some steps."""

    def __init__(self, after: int, checkpoint: Path) -> None:
        super().__init__(checkpoint=checkpoint)
        self.left, self.taken = after, 0

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None, first: int = 0) -> Iterator[T]:
        for item in items:
            if what == "e2rank":
                if not self.left:
                    raise KeyboardInterrupt("stopped")
                self.left -= 1
                self.taken += 1
            yield item


def test_a_killed_training_goes_on_where_it_was(
    path: str, judged: JudgedRankings, trained: tuple[Path, E2RankRecord], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        train(path, judged, tmp_path / "out", effort=EFFORT, work=Stops(14, tmp_path / "kept"))
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "kept").iterdir())
    rest = Stops(1000, tmp_path / "kept")
    assert train(path, judged, tmp_path / "out", effort=EFFORT, work=rest) == trained[1]
    assert rest.taken <= EFFORT.steps - 12, "a checkpoint comes with every look, every third step"
    assert not list((tmp_path / "kept").iterdir())


# -- a teacher -----------------------------------------------------------------------------------


class Backwards(Reranker):
    """Turns rankings round; fails where the query has a certain end."""

    name = "backwards"

    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        yield from ()
        if self.fails and query.endswith(self.fails):
            raise RuntimeError("no idea")
        return Order.by_rank(range(len(ranking) - 1, -1, -1))


def test_a_teachers_order_is_learned_in_place_of_judgements(judged: JudgedRankings) -> None:
    learned = flow.run(taught(judged[:5], reranker(Backwards()), in_order))
    for one in learned:
        assert one.found_gains.tolist() == [1, 2, 3, 4, 5, 6]
    assert judged[0].found_gains.tolist() != [1, 2, 3, 4, 5, 6]


def test_questions_on_which_the_teacher_fails_teach_nothing(judged: JudgedRankings) -> None:
    learned = flow.run(taught(judged[:5], reranker(Backwards(" 3?")), in_order))
    assert [bool(one.gains) for one in learned] == [not one.query.endswith(" 3?") for one in judged[:5]]
    assert not all(one.gains for one in learned)
    with pytest.raises(InputError, match=r"the teacher .* failed on every question: .*RuntimeError: no idea"):
        flow.run(taught(judged[:5], reranker(Backwards("?")), in_order))


def test_a_training_says_whose_order_it_learned(path: str, judged: JudgedRankings, tmp_path: Path) -> None:
    teacher = reranker(Backwards())
    record = train(path, judged, tmp_path / "out", teacher=teacher, effort=replace(EFFORT, steps=2))
    assert "learned from the order of backwards" in record.report.learned


# -- the parts -----------------------------------------------------------------------------------


def test_pseudo_queries_under_training_are_what_the_model_embeds(path: str) -> None:
    texts = ["the apple", "which passage tells of the garden and the harbor?"]
    model = loaded(path)
    model.prompts = {"query": "search the documents of ", "document": ""}
    expected = model.encode_query(texts, convert_to_numpy=True)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(PseudoQueries(model).embedded(texts), expected, atol=1e-5)


def test_a_batch_takes_no_relevant_passage_for_a_negative(judged: JudgedRankings) -> None:
    words = Tokens(lambda text: len(text.split()))
    lists = Lists.of(judged[:10], words, Use(), QUIET)
    batch = Batch.of(lists, [0, 8, 3])  # 0 and 8 ask about the same passage
    ids = [point for row in (0, 8, 3) for point in judged[row].ranking.ids]
    for row, one in enumerate((judged[0], judged[8], judged[3])):
        assert one.gains[ids[batch.positive[row]]] == 1
        for column, point in enumerate(ids):
            relevant = one.gains.get(point, 0) > 0
            assert batch.others[row, column] == (relevant and column != batch.positive[row])
    assert batch.others[0].sum() == 1
    for gains, start, end in batch.lists:
        assert len(gains) == end - start == 6


@pytest.mark.parametrize(("layers", "first"), [(1, 2), (2, 1), (3, 0), (None, 0)])
def test_frozen_layers_are_the_first_ones(path: str, layers: int | None, first: int) -> None:
    chosen = PseudoQueries(loaded(path)).trainable(layers)
    numbers = {int(found[1]) for name in chosen if (found := re.search(r"layer\.(\d)\.", name))}
    assert numbers == set(range(first, 3))
    assert any("word_embeddings" in name for name in chosen) is (layers is None)
    assert any("pooler" in name for name in chosen)


# -- refusals ------------------------------------------------------------------------------------


def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    path: str, judged: JudgedRankings, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def refused(message: str, given: JudgedRankings = judged, **more: Any) -> None:
        with pytest.raises((InputError, MismatchError), match=message):
            train(path, given, more.pop("out", out), **{"effort": EFFORT, **more})
        assert not out.exists()

    refused("needs at least 40 judged questions, got 12", judged[:12])
    other = EmbeddingIdentity("other", 16, False, "0" * 32)
    refused("the vectors were made by other .* embed the same text differently", replace(judged, embedding=other))
    refused("layers must be from 1 to the 3 that the model has", effort=replace(EFFORT, layers=9))
    bare = tuple(
        replace(one, ranking=replace(one.ranking, candidates=tuple(replace(c, vector=None) for c in one.ranking)))
        for one in judged
    )
    refused("candidates' vectors: gather the rankings with them", replace(judged, queries=bare))
    blind = tuple(replace(one, vector=None) for one in judged)
    refused("reads the vectors of questions", replace(judged, queries=blind))
    refused("there is no folder to make", out=tmp_path / "no" / "where")
    (tmp_path / "there").mkdir()
    refused("out must be a folder that is not there yet", out=tmp_path / "there")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps must be a whole number of at least 0"),
        ({"batch": 0}, "batch must be a whole number of at least 1"),
        ({"rate": 0}, "rate must be a finite number above 0"),
        ({"layers": 0}, "layers must be a whole number of at least 1"),
        ({"context": 3}, "context must be a whole number of at least 32"),
        ({"passages": 0}, "passages must be a whole number of at least 1"),
        ({"shortest": 2}, "shortest must be a whole number of at least 8"),
    ],
)
def test_wrong_numbers_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Effort(**change)


# -- elsewhere -----------------------------------------------------------------------------------


def test_a_model_is_adopted_on_what_it_helps_and_noted_on_what_it_does_not(
    path: str, judged: JudgedRankings, tmp_path: Path
) -> None:
    train(path, judged, tmp_path / "out", effort=EFFORT)
    elsewhere = replace(judged[:40], corpus="elsewhere")
    record = adopt(tmp_path / "out", path, elsewhere)
    assert E2RankRecord.read(tmp_path / "out") == record
    assert record.untried_on("elsewhere") is None
    assert record.untried_on("made-up") is None, "what was validated before stays"
    best_first = tuple(replace(one, ranking=in_order_of_gains(one)) for one in elsewhere)
    record = adopt(tmp_path / "out", path, replace(elsewhere, queries=best_first, corpus="perfect"))
    assert "has not shown that e2rank helps" in (record.untried_on("perfect") or "")
    for given, message in (
        (replace(judged[:10], corpus="few"), "at least 20 judged questions, got 10"),
        (replace(elsewhere, corpus=None), "do not tell which collection"),
        (replace(elsewhere, first_stage="sparse"), "trained on 'dense cosine' rankings, these are 'sparse'"),
    ):
        with pytest.raises((InputError, MismatchError), match=message):
            adopt(tmp_path / "out", path, given)
