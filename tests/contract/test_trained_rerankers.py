"""Rerankers that are trained: they learn, say what they learned, and act only where they were shown to help."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_lessons import CORPUS, MODEL, embed, lessons
from octant import Candidate, Ranking, reranker
from octant.errors import ArtifactError, InputError, MismatchError, RerankError
from octant.judged import Judged, JudgedRankings
from octant.rerankers.assemble import assembled
from octant.rerankers.features import FeatureSet
from octant.rerankers.learned import LearnedReranker
from octant.rerankers.trained import RerankerPart, TrainedReranker, _doubt
from octant.rerankers.words import WordCounts
from octant.statistics import Estimate
from octant.testing import check_reranker
from octant.trained import TrainingReport

SPECS = ("learned", "learned(vectors=true)", "refine", "refine(lexical)")


class Place:
    """As much of a collection as a reranker asks for."""

    def __init__(self, corpus: str = CORPUS, part: Any = None) -> None:
        self._corpus, self._part = corpus, part
        self.asked = 0

    def corpus(self) -> str:
        return self._corpus

    async def acorpus(self) -> str:
        return self._corpus

    def trained(self, cls: type, spec: str | None = None) -> Any:
        self.asked += 1
        return self._part if isinstance(self._part, cls) and self._part.spec == spec else None

    async def atrained(self, cls: type, spec: str | None = None) -> Any:
        return self.trained(cls, spec)


def train(spec: str, **options: Any) -> RerankerPart:
    made = assembled(spec)
    assert isinstance(made, TrainedReranker)
    return made.train(lessons(100, **options))


@pytest.fixture(scope="module")
def parts() -> dict[str, RerankerPart]:
    return {spec: train(spec) for spec in SPECS}


def at_home(part: RerankerPart, **options: Any) -> Any:
    return reranker(part.spec, embedding=embed, trained=part, collection=Place(), **options)


UNSEEN = lessons(30, seed=5)


@pytest.mark.parametrize("spec", SPECS)
def test_trained_rerankers_keep_the_contract(spec: str, parts: dict[str, RerankerPart]) -> None:
    check_reranker(at_home(parts[spec]))


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_learned_helps_on_questions_that_were_not_seen(spec: str, parts: dict[str, RerankerPart]) -> None:
    report = parts[spec].report
    assert not report.no_change, report
    made = assembled(spec)
    assert isinstance(made, TrainedReranker)
    assert (report.fitted_on, report.validated_on) == ((100, 100) if made.folds > 1 else (75, 25))
    assert report.crossed == (made.folds > 1)
    assert report.figures[0].difference.low > 0
    again = made._validated(parts[spec], UNSEEN, 90)
    assert again.figures[0].after > again.figures[0].before + 0.1


def test_every_query_is_validated_by_what_learned_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made = assembled("learned")
    assert isinstance(made, LearnedReranker)
    known: list[set[str]] = []
    checked: list[str] = []
    learn, score = made._learn, made._scores

    def learning(judged: JudgedRankings, seed: int, work: Any) -> Any:
        known.append({one.query for one in judged})
        return learn(judged, seed, work)

    def scoring(part: Any, query: str, *rest: Any) -> Any:
        assert query not in known[-1]
        checked.append(query)
        return score(part, query, *rest)

    monkeypatch.setattr(made, "_learn", learning)
    monkeypatch.setattr(made, "_scores", scoring)
    judged = lessons(60)
    made.train(judged)
    assert [len(queries) for queries in known] == [60, 48, 48, 48, 48, 48]
    assert sorted(checked) == sorted(one.query for one in judged)


def test_lessons_are_learned_and_judgements_validate() -> None:
    """A teacher that is wrong about everything teaches what the judgements then refuse."""
    made = assembled("learned")
    assert isinstance(made, TrainedReranker)
    judged = lessons(60)
    wrong = tuple(
        replace(one, gains={found.id: 1.0 for found in one.ranking if found.id not in one.gains}) for one in judged
    )
    part = made.train(judged, lessons=replace(judged, queries=wrong))
    assert part.report.no_change
    assert part.report.figures[0].after < part.report.figures[0].before


@pytest.mark.parametrize("spec", ["learned(vectors=true)", "refine"])
def test_the_same_data_and_seed_give_the_same_bytes(spec: str, parts: dict[str, RerankerPart]) -> None:
    assert train(spec).dumps() == parts[spec].dumps()


@pytest.mark.parametrize("spec", SPECS)
def test_a_file_gives_back_what_was_learned(spec: str, parts: dict[str, RerankerPart], tmp_path: Path) -> None:
    parts[spec].save(tmp_path / "part")
    one = UNSEEN[0]
    here, again = at_home(parts[spec]), reranker(
        spec, embedding=embed, trained=tmp_path / "part", collection=Place()
    )  # fmt: skip
    assert again.rerank(one.query, one.ranking) == here.rerank(one.query, one.ranking)


@pytest.mark.parametrize("spec", SPECS)
def test_no_change_is_chosen_where_nothing_helps(spec: str) -> None:
    part = train(spec, helpful=False)
    assert part.report.no_change
    one = UNSEEN[0]
    done = at_home(part).rerank(one.query, one.ranking)
    assert done.ids == one.ranking.ids
    assert done.score_kind == "first stage"
    assert "has not shown that" in str(done.report)


# -- where a part may act ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place("d" * 32), "was neither trained on this collection nor adopted for it"),
        (None, "does not know which collection this is: pass collection="),
    ],
)
def test_elsewhere_every_order_stays_as_it_is(place: Any, why: str, parts: dict[str, RerankerPart]) -> None:
    one = UNSEEN[0]
    done = reranker("learned", trained=parts["learned"], collection=place).rerank(one.query, one.ranking)
    assert done.ids == one.ranking.ids
    assert done.scores == one.ranking.scores
    assert done.report is not None
    assert any(why in remark for remark in done.report.remarks), done.report
    assert done.report.failure is None


def test_adoption_lets_a_part_act_on_another_collection(parts: dict[str, RerankerPart]) -> None:
    made = assembled("learned")
    assert isinstance(made, TrainedReranker)
    adopted = made.adopt(parts["learned"], lessons(40, seed=7, corpus="d" * 32))
    assert set(adopted.origin.corpora) == {CORPUS, "d" * 32}
    assert adopted.origin.corpora["d" * 32].validated_on == 40
    assert adopted.report == parts["learned"].report
    one = next(one for one in UNSEEN if not one.found_gains[0])
    done = reranker("learned", trained=adopted, collection=Place("d" * 32)).rerank(one.query, one.ranking)
    assert done.ids[0] in one.gains
    assert done.score_kind == "grade"


def test_adoption_where_it_does_not_help_leaves_the_order(parts: dict[str, RerankerPart]) -> None:
    made = assembled("learned")
    assert isinstance(made, TrainedReranker)
    adopted = made.adopt(parts["learned"], lessons(40, seed=7, corpus="d" * 32, helpful=False))
    assert adopted.origin.corpora["d" * 32].no_change
    one = UNSEEN[0]
    done = reranker("learned", trained=adopted, collection=Place("d" * 32)).rerank(one.query, one.ranking)
    assert done.ids == one.ranking.ids
    assert adopted.untried_on(CORPUS) is None  # at home it goes on


@pytest.mark.parametrize(
    ("judged", "error", "message"),
    [
        (lessons(10), InputError, "at least 20 judged queries, got 10"),
        (lessons(30, corpus=None), InputError, "do not tell which collection"),
        (replace(lessons(30), first_stage="sparse"), MismatchError, "trained on 'dense cosine' rankings"),
        (
            replace(lessons(30), embedding=replace(MODEL, name="theirs")),
            MismatchError,
            "trained for made_lessons.embed .* theirs",
        ),
    ],
)
def test_adoption_on_what_does_not_fit_is_refused(
    judged: Any, error: type[Exception], message: str, parts: dict[str, RerankerPart]
) -> None:
    made = assembled("learned")
    assert isinstance(made, TrainedReranker)
    with pytest.raises(error, match=message):
        made.adopt(parts["learned"], judged)


# -- finding what was trained --------------------------------------------------------------------


def test_what_is_attached_is_found_once(parts: dict[str, RerankerPart]) -> None:
    place = Place(part=parts["learned"])
    made = reranker("first_stage > learned", trained=place)
    one = next(one for one in UNSEEN if not one.found_gains[0])
    done = made.rerank(one.query, one.ranking)
    assert done.ids[0] in one.gains
    assert asyncio.run(made.arerank(one.query, one.ranking)) == done
    assert place.asked == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "has to be trained first: pass trained="),
        ({"trained": 7}, "trained must be a part, the path of its file, or a collection; got int"),
    ],
)
def test_a_reranker_without_training_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reranker("learned", **given)


def test_training_for_a_reranker_that_learns_nothing_is_refused(parts: dict[str, RerankerPart]) -> None:
    with pytest.raises(InputError, match="learns nothing: leave out trained="):
        reranker("first_stage", trained=parts["learned"])


def test_files_that_are_something_else_are_refused(parts: dict[str, RerankerPart], tmp_path: Path) -> None:
    parts["refine"].save(tmp_path / "refine")
    (tmp_path / "none").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds what was trained for 'refine'"):
        reranker("learned", trained=tmp_path / "refine")
    with pytest.raises(ArtifactError, match="expected a safetensors file"):
        reranker("learned", trained=tmp_path / "none")
    with pytest.raises(ArtifactError, match="cannot read it"):
        reranker("learned", trained=tmp_path / "missing")


def test_another_spec_than_the_trained_one_is_refused(parts: dict[str, RerankerPart]) -> None:
    one = UNSEEN[0]
    with pytest.raises(InputError, match=r"given what was trained for 'learned\(true\)'"):
        reranker("learned", trained=parts["learned(vectors=true)"]).rerank(one.query, one.ranking)
    with pytest.raises(InputError, match="nothing trained for 'learned' is attached"):
        reranker("learned", trained=Place()).rerank(one.query, one.ranking)


def test_another_embedding_is_refused_with_both_names(parts: dict[str, RerankerPart]) -> None:
    one = UNSEEN[0]

    def theirs(texts: list[str]) -> Any:
        return np.ones((len(texts), 5))

    made = reranker("refine", embedding=theirs, trained=parts["refine"], collection=Place())
    done = made.rerank(one.query, one.ranking)
    assert done.ids == one.ranking.ids
    assert done.report is not None
    assert re.search(r"trained for made_lessons.embed \(16 dimensions\); got .*theirs", str(done.report.failure))
    strict = made.using(replace(made.settings, on_failure="raise"))
    with pytest.raises(RerankError, match="one gives 16 coordinates, the other 5"):
        strict.rerank(one.query, one.ranking)


def test_rankings_of_another_kind_keep_their_order(parts: dict[str, RerankerPart]) -> None:
    one = UNSEEN[0]
    made = at_home(parts["learned"])
    reranked = replace(one.ranking, score_kind="cosine")
    done = made.rerank(one.query, reranked)
    assert done.ids == one.ranking.ids
    assert "these scores are a reranker's" in str(done.report)
    hybrid = tuple(replace(found, branch_scores={"dense": 0.5}) for found in one.ranking)
    done = made.rerank(one.query, replace(one.ranking, candidates=hybrid))
    assert done.ids == one.ranking.ids
    assert "trained on the branches none, this ranking has dense" in str(done.report)


def test_candidates_without_the_vectors_that_are_read_keep_their_order(parts: dict[str, RerankerPart]) -> None:
    one = UNSEEN[0]
    bare = replace(one.ranking, candidates=tuple(replace(found, vector=None) for found in one.ranking))
    done = at_home(parts["refine"]).rerank(one.query, bare)
    assert done.ids == bare.ids
    assert "with_vectors=True" in str(done.report)
    with pytest.raises(RerankError, match="with_vectors=True"):
        at_home(parts["refine"], on_failure="raise").rerank(one.query, bare)


# -- training on what does not fit ---------------------------------------------------------------


def test_too_few_questions_and_missing_vectors_are_refused() -> None:
    refine, learned = assembled("refine"), assembled("learned")
    assert isinstance(refine, TrainedReranker)
    assert isinstance(learned, TrainedReranker)
    with pytest.raises(InputError, match="at least 40 judged queries, got 39"):
        learned.train(lessons(39))
    blind = replace(lessons(40), queries=tuple(replace(one, vector=None) for one in lessons(40)))
    with pytest.raises(InputError, match="reads the vectors of queries"):
        refine.train(blind)
    bare = tuple(
        replace(one, ranking=Ranking(tuple(replace(found, vector=None) for found in one.ranking)))
        for one in lessons(40)
    )
    with pytest.raises(InputError, match="reads the candidates' vectors"):
        refine.train(replace(lessons(40), queries=bare))


def test_nothing_relevant_to_learn_from_is_no_change() -> None:
    learned = assembled("learned")
    assert isinstance(learned, TrainedReranker)
    unjudged = replace(lessons(60), queries=tuple(replace(one, gains={}) for one in lessons(60)))
    part = learned.train(unjudged)
    assert part.report.no_change
    assert "nothing to learn from" in part.report.learned


def test_a_teachers_lessons_are_learned_and_the_judgements_decide() -> None:
    learned = assembled("learned")
    assert isinstance(learned, TrainedReranker)
    truth = lessons(80)
    wrong = replace(truth, queries=tuple(replace(one, gains={one.ranking[-1].id: 1.0}) for one in truth))
    assert learned.train(truth, lessons=wrong).report.no_change
    unjudged = replace(truth, queries=tuple(replace(one, gains={}) for one in truth))
    assert not learned.train(truth, lessons=truth).report.no_change
    assert learned.train(unjudged, lessons=truth).report.no_change  # nothing shows that it helps


def test_hybrid_rankings_bring_the_scores_of_their_branches() -> None:
    learned = assembled("learned")
    assert isinstance(learned, TrainedReranker)
    base = lessons(80)

    def hybrid(one: Any) -> Any:
        found = tuple(
            replace(c, branch_scores={"words": 2.0} if gain else {"dense": c.score}, text="the same")
            for c, gain in zip(one.ranking, one.found_gains, strict=True)
        )
        return replace(one, ranking=replace(one.ranking, candidates=found))

    part = learned.train(replace(base, queries=tuple(map(hybrid, base))))
    assert part.header["features"]["branches"] == ["dense", "words"]
    assert not part.report.no_change
    one = hybrid(next(one for one in UNSEEN if not one.found_gains[0]))
    assert at_home(part).rerank(one.query, one.ranking).ids[0] in one.gains


# -- how many questions would show a gain --------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        # Half as wide, the interval would end at zero: four times as many.
        (Estimate(0.02, -0.02, 0.06), "validating on about 400 would show it"),
        (Estimate(0.03, -0.01, 0.07), "validating on about 178 would show it"),
        (Estimate(0.0001, -0.02, 0.02), None),
        (Estimate(0.0, -0.02, 0.02), None),
        (Estimate(-0.02, -0.06, 0.02), None),
    ],
)
def test_a_gain_that_chance_could_be_tells_how_many_queries_would_decide(gain: Estimate, said: str | None) -> None:
    told = _doubt(gain, 100)
    assert told is None if said is None else said in str(told)


def test_a_validation_that_could_not_decide_says_so(parts: dict[str, RerankerPart]) -> None:
    made = assembled("learned")
    assert isinstance(made, TrainedReranker)

    def adopted(helped: int) -> TrainingReport:
        mixed = (*lessons(helped, seed=7), *lessons(40 - helped, seed=8, helpful=False))
        judged = replace(lessons(40, corpus="d" * 32), queries=mixed)
        return made.adopt(parts["learned"], judged).origin.corpora["d" * 32]

    undecided = adopted(20)
    assert undecided.no_change
    assert undecided.figures[0].difference.value > 0
    assert re.search(r"40 queries cannot tell this gain from chance: .* about [\d,]+ would show it", str(undecided))
    harmed = adopted(10)
    assert harmed.no_change
    assert harmed.remarks == ()


# -- the cosine with the query, where the search did not rank by it ------------------------------


def by_words(judged: JudgedRankings) -> JudgedRankings:
    """As a search by words found them, whose texts say nothing about what is relevant."""

    def silent(one: Judged) -> Judged:
        found = tuple(replace(candidate, text="sea") for candidate in one.ranking)
        return replace(one, ranking=replace(one.ranking, candidates=found))

    return replace(judged, queries=tuple(map(silent, judged)), first_stage="sparse")


def asked_of(texts: Sequence[str]) -> np.ndarray:
    """The vectors that the made-up questions have."""
    known = {one.query: one.vector for one in UNSEEN}
    return np.stack([known.get(text, embed([text])[0]) for text in texts])


@pytest.fixture(scope="module")
def after_words() -> RerankerPart:
    made = assembled("learned(vectors=true)")
    assert isinstance(made, TrainedReranker)
    return made.train(replace(by_words(lessons(100)), embedding=None))


def test_after_a_search_by_words_learned_reads_how_close_candidates_are_to_the_query(
    after_words: RerankerPart, parts: dict[str, RerankerPart]
) -> None:
    assert "cosines with the query" in after_words.report.learned
    assert "cosines" not in parts["learned(vectors=true)"].report.learned, "a dense search has ranked by them"
    assert not after_words.report.no_change
    made = reranker(after_words.spec, embedding=asked_of, trained=after_words, collection=Place())
    found = [made.rerank(one.query, one.ranking) for one in by_words(UNSEEN)]
    first = np.mean([done.ids[0] in one.gains for done, one in zip(found, UNSEEN, strict=True)])
    assert first > 0.5
    assert first > np.mean([one.ranking.ids[0] in one.gains for one in UNSEEN]) + 0.3


def test_a_cosine_with_the_query_needs_a_model_to_embed_it(after_words: RerankerPart) -> None:
    one = by_words(UNSEEN)[0]
    made = reranker(after_words.spec, trained=after_words, collection=Place())
    with pytest.raises(InputError, match="embeds texts: pass embedding="):
        made.rerank(one.query, one.ranking)


def test_the_model_that_embeds_the_query_must_be_the_one_it_was_trained_with(after_words: RerankerPart) -> None:
    one = by_words(UNSEEN)[0]
    foreign = type(after_words)(replace(after_words.origin, embedding=MODEL), after_words.header, after_words.arrays)
    made = reranker(after_words.spec, embedding=asked_of, trained=foreign, collection=Place())
    done = made.rerank(one.query, one.ranking)
    assert done.ids == one.ranking.ids
    assert done.report is not None
    assert "made_lessons.embed" in str(done.report.failure)


# -- what is known of each candidate -------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.integers(2, 14), st.lists(st.integers(0, 3), min_size=14, max_size=14), st.randoms(use_true_random=False),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_features_do_not_depend_on_the_order_of_the_candidates(
    n: int, scores: list[int], random: Any, density: bool, cosine: bool
) -> None:
    base = lessons(1, depth=14)[0].ranking.candidates[:n]
    found = [replace(one, score=score / 3) for one, score in zip(base, scores, strict=False)]
    features = FeatureSet(("dense",), density, 4, cosine)
    projection = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    asked = projection[:, 0]
    words = WordCounts()
    x = features.of("the rare0 sea", Ranking(tuple(found)), words, projection, asked)
    assert x.shape == (n, len(features.names))
    assert np.isfinite(x).all()
    order = list(range(n))
    random.shuffle(order)
    again = features.of("the rare0 sea", Ranking(tuple(found[place] for place in order)), words, projection, asked)
    np.testing.assert_allclose(again, x[order], atol=2e-5)


def test_a_learned_order_does_not_depend_on_the_order_of_the_candidates(parts: dict[str, RerankerPart]) -> None:
    made = at_home(parts["learned(vectors=true)"])
    for one in UNSEEN[:5]:
        done = made.rerank(one.query, one.ranking)
        turned = made.rerank(one.query, replace(one.ranking, candidates=one.ranking.candidates[::-1]))
        assert turned.ids == done.ids
        np.testing.assert_allclose(turned.scores, done.scores, atol=1e-4)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_spoil_no_feature(score: float) -> None:
    found = (Candidate(1, 0.5, "one"), Candidate(2, score, "two"), Candidate(3, 0.1, None))
    assert np.isfinite(FeatureSet(("dense",)).of("two", Ranking(found), WordCounts())).all()


def test_words_are_remembered_up_to_a_bound() -> None:
    words = WordCounts(kept=3)
    counts = words.of(["sea salt", None, "sea sea", "sea salt"])
    assert [dict(found) for found, _ in counts] == [{"sea": 1, "salt": 1}, {}, {"sea": 2}, {"sea": 1, "salt": 1}]
    words.of([f"text {row}" for row in range(10)])
    assert len(words) == 3
    assert words.of(["sea sea"])[0][0]["sea"] == 2


def test_a_report_survives_json(parts: dict[str, RerankerPart]) -> None:
    report = parts["learned"].report
    assert TrainingReport.from_json(report.as_json()) == report
