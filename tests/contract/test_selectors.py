"""What every selector keeps to: the contract, what it learned in a file and with a collection, and lazy searches."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import octant
from octant import calibration, registry
from octant.errors import ArtifactError, InputError, MismatchError, SpecError, UnknownPluginError
from octant.records import EmbeddingIdentity
from octant.selectors import Calibration, JudgedSearches, LearnedSelection
from octant.selectors.assemble import selector_class
from octant.selectors.check import made, many
from octant.testing import check_selector

LEARNERS = ["fuse", "fuse(by=ranks)", "weight", "select", "cascade", "cascade(quality=0.98)"]
MINILM, OTHER = EmbeddingIdentity("minilm", 384, True, "0" * 32), EmbeddingIdentity("other", 384, True, "f" * 32)


@pytest.fixture(scope="module")
def judged() -> JudgedSearches:
    return many(80)


@pytest.mark.parametrize("spec", [*registry.names("selectors"), "fuse(by=ranks, k=10)", "cascade(quality=0.98)"])
def test_contract(spec: str) -> None:
    check_selector(octant.selector(spec))


@pytest.mark.parametrize("spec", LEARNERS)
def test_what_was_learned_is_one_file(spec: str, judged: JudgedSearches, tmp_path: Path) -> None:
    learned = octant.selector(spec).learn(judged).learned
    learned.save(tmp_path / "selection")
    again = octant.selector(spec, learned=tmp_path / "selection")
    rankings = made(20, 500).rankings
    assert again.learned == learned
    assert again.learned.dumps() == learned.dumps()
    assert again.select(rankings) == octant.selector(spec, learned=learned).select(rankings)
    with pytest.raises(InputError, match="name the same selector"):
        octant.selector("fuse(by=ranks, k=7)", learned=tmp_path / "selection")


def test_weights_follow_what_each_embedding_is_worth(judged: JudgedSearches) -> None:
    fuse = octant.selector("fuse").learn(judged)
    weights = dict(zip(fuse.learned.embeddings, fuse.learned.state["weights"], strict=True))
    assert weights["words"] > weights["dear"] > weights["cheap"]
    assert sum(weights.values()) == pytest.approx(1)
    [figure] = fuse.learned.report.figures
    assert figure.after > figure.before, "three independent embeddings are worth more than the best of them"


def test_copies_of_a_weak_embedding_do_not_outvote_a_good_one() -> None:
    weak = {f"copy {n}": "cheap" for n in range(4)}

    def crowd(one: octant.Rankings) -> octant.Rankings:
        return octant.Rankings({"words": one["words"], **{name: one[source] for name, source in weak.items()}})

    judged = JudgedSearches(tuple(replace(one, rankings=crowd(one.rankings)) for one in many(20)))
    held = [replace(made(20, seed), rankings=crowd(made(20, seed).rankings)) for seed in range(100, 160)]
    learned = octant.selector("fuse").learn(judged)
    found = {
        name: np.mean([selector.select(one.rankings).ranking.ids[0] in ("passage 0", "passage 1") for one in held])
        for name, selector in {"learned": learned, "uniform": octant.selector("fuse")}.items()
    }
    alone = np.mean([one.rankings["words"].ids[0] in ("passage 0", "passage 1") for one in held])
    assert found["learned"] >= alone - 0.02
    assert found["learned"] > found["uniform"] + 0.05


def test_an_embedding_that_is_missing_gives_its_weight_to_the_others(judged: JudgedSearches) -> None:
    fuse = octant.selector("fuse").learn(judged)
    rankings = made(20, 300).rankings
    done = fuse.select(rankings.only("cheap", "dear"))
    assert sum(done.decision.alternatives.values()) == pytest.approx(1, abs=1e-3)
    assert "learned with words too, which did not take part" in done.decision.remarks


def test_a_learner_says_when_it_has_learned_nothing() -> None:
    remarks = octant.selector("fuse").select(made(20, 0).rankings).decision.remarks
    assert any("nothing was learned" in remark for remark in remarks)
    assert not any(
        "nothing was learned" in r for r in octant.selector("rrf").select(made(20, 0).rankings).decision.remarks
    )


def test_mixture_takes_the_best_z_score() -> None:
    rankings = made(20, 4).rankings
    found = octant.selector("mixture").select(rankings).ranking
    slow: dict[object, float] = {}
    for ranking in rankings.values():
        mean, deviation = np.mean(ranking.scores), np.std(ranking.scores)
        for candidate in ranking:
            slow[candidate.id] = max(slow.get(candidate.id, -np.inf), (candidate.score - mean) / deviation)
    assert {one.id: pytest.approx(one.score) for one in found} == slow


# -- cascades --------------------------------------------------------------------------------------


class Engine:
    """Answers, and writes down what it was asked."""

    def __init__(self, rankings: Mapping[str, octant.Ranking]) -> None:
        self.rankings, self.asked = octant.Rankings(rankings), []

    def __call__(self, names: tuple[str, ...], depth: int) -> octant.Rankings:
        self.asked += names
        assert depth >= 100
        return self.rankings.only(*names)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.7, 1.0])
def test_a_cascade_searches_the_second_embedding_as_often_as_was_wanted(rate: float) -> None:
    cascade = octant.selector(f"cascade(rate={rate})").learn(many(100, judged=False), embeddings=["cheap", "words"])
    searches = []
    for seed in range(1000, 1100):
        engine = Engine(made(20, seed).rankings)
        done = cascade.search(engine, ["cheap", "words"], 5)
        assert done.decision.cost["searches"] == len(engine.asked)
        assert done.decision.chosen == engine.asked[-1]
        assert done.ranking.ids == engine.rankings[engine.asked[-1]].ids[:5]
        searches.append(len(engine.asked) - 1)
    assert np.mean(searches) == pytest.approx(rate, abs=0.15)


def test_a_cascade_without_thresholds_asks_everybody_and_says_so() -> None:
    engine = Engine(made(20, 0).rankings)
    done = octant.selector("cascade").search(engine, ["cheap", "dear", "words"])
    assert engine.asked == ["cheap", "dear", "words"]
    assert done.decision.chosen == "words"
    assert any("no threshold was learned" in remark for remark in done.decision.remarks)


def test_a_sureness_at_the_threshold_is_enough() -> None:
    cascade = octant.selector("cascade").learn(many(40, judged=False), embeddings=["cheap", "words"])
    rankings = made(20, 1000).rankings
    exactly = cascade._sureness("cheap", rankings["cheap"])
    for threshold, wanted in ((exactly, ["cheap"]), (np.nextafter(exactly, np.inf), ["cheap", "words"])):
        learned = copy.copy(cascade.learned)
        learned.state = {**learned.state, "thresholds": np.array([threshold])}
        engine = Engine(rankings)
        searched = cascade.using(learned).search(engine, ["cheap", "words"])
        assert engine.asked == wanted
        assert cascade.using(learned).select(rankings.only("cheap", "words")).decision.chosen == wanted[-1]
        assert searched.decision.chosen == wanted[-1]


def test_a_cascade_keeps_the_quality_that_was_wanted_where_it_learned() -> None:
    judged = many(100)
    everything, half = (
        octant.selector(f"cascade(quality={quality})").learn(judged, embeddings=["cheap", "words"]).learned
        for quality in (1.0, 0.6)
    )
    [whole], [less] = everything.report.figures, half.report.figures
    assert whole.after >= whole.before * 0.99
    assert less.before * 0.59 <= less.after < whole.after


def test_a_cascade_goes_on_where_an_embedding_fails() -> None:
    cascade = octant.selector("cascade(rate=0)").learn(many(40, judged=False), embeddings=["cheap", "words"])
    rankings = made(20, 1).rankings
    done = cascade.search(
        lambda names, depth: (
            octant.Rankings({}, {"cheap": "refused"}) if names == ("cheap",) else rankings.only(*names)
        ),
        ["cheap", "words"],
    )
    assert done.decision.chosen == "words"
    assert done.decision.failures == {"cheap": "refused"}
    assert done.decision.cost["searches"] == 2


async def test_an_awaited_search_is_lazy_too() -> None:
    cascade = octant.selector("cascade(rate=0)").learn(many(40, judged=False), embeddings=["cheap", "words"])
    engine = Engine(made(20, 1).rankings)

    async def ask(names: tuple[str, ...], depth: int) -> octant.Rankings:
        await asyncio.sleep(0)
        return engine(names, depth)

    done = await cascade.asearch(ask, ["cheap", "words"])
    assert engine.asked == ["cheap"]
    assert done == cascade.search(Engine(engine.rankings), ["cheap", "words"])


# -- the detector of weak retrieval ----------------------------------------------------------------


@pytest.fixture(scope="module")
def detector() -> Calibration:
    return Calibration.learn(replace(many(200), corpus="here"), octant.selector("rrf"), within=1)


def test_a_detector_tells_weak_retrieval_from_good(detector: Calibration) -> None:
    fresh = [made(20, seed) for seed in range(1000, 1150)]
    said = np.array([detector.probability(one.rankings) for one in fresh])
    true = np.array(
        [octant.selector("rrf").select(one.rankings).ranking.ids[0] in ("passage 0", "passage 1") for one in fresh]
    )
    assert calibration.area_under_roc(said, true) > 0.6
    assert calibration.expected_calibration_error(said, true) < 0.15


def test_probabilities_are_of_the_collection_they_were_calibrated_on(detector: Calibration) -> None:
    rankings = made(20, 7).rankings
    here, there, nowhere = (
        octant.selector("rrf").using(calibration=detector, corpus=corpus).select(rankings).decision
        for corpus in ("here", "there", None)
    )
    assert here.calibrated == "200 judged queries of this collection"
    assert here.estimates == "a relevant passage is among the first 1"
    low, high = here.evidence["confidence interval"]
    assert low < here.confidence < high
    assert there.calibrated is None is nowhere.calibrated
    for decision in (there, nowhere):
        assert any("it has not been recalibrated here" in remark for remark in decision.remarks)


def test_a_detector_is_recalibrated_from_few_labels(detector: Calibration) -> None:
    other = replace(many(50), corpus="there")
    again = detector.recalibrated(other, octant.selector("rrf"))
    assert again.corpus == "there"
    assert set(again.origin.corpora) == {"here", "there"}
    rankings = made(20, 7).rankings
    decision = octant.selector("rrf").using(calibration=again, corpus="there").select(rankings).decision
    assert decision.calibrated == "50 judged queries of this collection"
    assert Calibration.loads(again.dumps()) == again
    assert Calibration.loads(again.dumps()).probability(rankings) == again.probability(rankings)


def test_nothing_found_is_certain(detector: Calibration) -> None:
    assert detector.probability({"cheap": octant.Ranking(())}) == 0.0


# -- mistakes --------------------------------------------------------------------------------------


def test_what_was_learned_for_other_models_is_refused(judged: JudgedSearches, detector: Calibration) -> None:
    identified = replace(judged, identities={"cheap": MINILM})
    part = octant.selector("fuse").learn(identified).learned
    octant.selector("fuse").using(part, identities={"cheap": MINILM, "dear": None})
    with pytest.raises(MismatchError, match=r"'cheap' = .*minilm.*; got .*other"):
        octant.selector("fuse").using(part, identities={"cheap": OTHER})
    with pytest.raises(MismatchError, match="was made for the embeddings cheap, dear, words; got 'bge'"):
        octant.selector("fuse", learned=part).select({"bge": made(20, 0).rankings["cheap"]})
    with pytest.raises(MismatchError, match=r"calibration .* was made for the embeddings"):
        octant.selector("rrf", calibration=detector).select({"bge": made(20, 0).rankings["cheap"]})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fuze", "did you mean 'fuse'"),
        ("fuse > rrf", "one selector, and no more"),
        ("fuse(by=votes)", "by is 'scores' or 'ranks', got 'votes'"),
        ("fuse(k=-1)", "k must be a whole number of at least 0"),
        ("rrf(k=1.5)", "k must be a whole number of at least 0"),
        ("cascade(rate=2)", "rate must be a number between 0 and 1, got 2"),
        ("cascade(quality=high)", "quality must be a number between 0 and 1, got 'high'"),
        ("select(1)", "takes no argument"),
        ("", "the name of a selector"),
    ],
)
def test_mistakes_in_a_spec_are_pointed_at(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        octant.selector(spec)


def test_a_spec_is_a_string() -> None:
    with pytest.raises(InputError, match="a spec must be a string"):
        octant.selector(3)  # type: ignore[arg-type]
    with pytest.raises(UnknownPluginError, match="no selector 'fuze'"):
        selector_class("fuze")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda judged: judged[:9], "at least 10 queries with a passage that is judged relevant, got 9 of 9"),
        (lambda _: many(40, judged=False), "got 0 of 40"),
        (
            lambda judged: JudgedSearches(tuple(replace(one, rankings=one.rankings.only("cheap")) for one in judged)),
            "needs at least two embeddings, got cheap",
        ),
    ],
)
def test_too_little_to_learn_from_is_refused(judged: JudgedSearches, change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        octant.selector("fuse").learn(change(judged))


def test_too_little_to_calibrate_is_refused(detector: Calibration) -> None:
    rrf = octant.selector("rrf")
    with pytest.raises(InputError, match="at least 40 queries"):
        Calibration.learn(many(39), rrf)
    with pytest.raises(InputError, match="3 of each outcome; got 60 that came true and 0 that did not"):
        Calibration.learn(many(60), rrf, within=40)
    with pytest.raises(InputError, match="at least 20 queries"):
        detector.recalibrated(many(19), rrf)


@pytest.mark.parametrize("lost", ["weights", "slopes"])
def test_a_file_that_lacks_something_is_refused(judged: JudgedSearches, lost: str) -> None:
    part = octant.selector("weight").learn(judged).learned
    state = {name: value for name, value in part.state.items() if name != lost}
    damaged = LearnedSelection(part.origin, part.embeddings, part.identities, part.depth, state)
    with pytest.raises(ArtifactError, match=f"needs an array '{lost}'"):
        octant.selector("weight", learned=damaged)
    infinite = LearnedSelection(
        part.origin, part.embeddings, part.identities, part.depth, {**part.state, lost: part.state[lost] + np.inf}
    )
    with pytest.raises(ArtifactError, match="does not hold a whole selection"):
        LearnedSelection.loads(infinite.dumps())
