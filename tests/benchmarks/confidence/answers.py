"""Answer-level confidence: recorded models, and a trained reader over several embeddings.

Recorded: whole sequences of token log-probabilities against what people thought of the translations (MLQE-PE), the
calibration of 14 models on multiple choice, and one answer from each web page (WikiFact). The reader is the one of
examples/train_reader.py, learned from nq-qed train with seed 0; it stands in for a language model that cannot be had
here. It reads the three best passages of each embedding of one collection (``search_each``), so every embedding gives
one answer with its distributions. Thresholds and calibrations come from the labelled questions, tables from the others.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
from harness import data_folder, table
from parts import Outcome
from reading_sets import EMBEDDINGS, PASSAGE_TOKENS, QUESTION_TOKENS, Question, ReadingSet, embed, nq, searched, squad
from train_reader import Reader, TokenEmbedder, examples_of, lines

from octant.calibration import area_under_roc, brier_score, expected_calibration_error, fit_calibrator
from octant.confidence import (
    AnswerSelector,
    Distributions,
    Generation,
    calibrate_answers,
    cascade_curve,
    majority_vote,
    metric,
    normalised,
)
from octant.records import Ranking
from octant.token_logprobs import TokenLogprob

LEARNED, EPOCHS, READ = 900, 6, 3
WAYS = ("average_logprob", "self_certainty", "gini", "entropy", "distributional_perplexity", "minimum", "vote")


def measure(asked: argparse.Namespace) -> Outcome:
    recorded = [_translations(), _multiple_choice(), _pages()]
    texts, results = [text for text, _ in recorded], {k: v for _, found in recorded for k, v in found.items()}
    embedder = TokenEmbedder()
    reader = _reader(embedder, asked)
    n = asked.questions or 300
    for data in (nq(n, learned=LEARNED), squad(n)):
        text, found = _read(data, reader, asked)
        texts.append(text)
        results[data.name] = found
    return Outcome("\n\n".join(texts), results)


# -- recorded models -------------------------------------------------------------------------------------


def _translations() -> tuple[str, dict[str, object]]:
    folder = data_folder("llm-outputs/mlqe-pe-token-logprobs")
    ways = ("average_logprob", "total_logprob", "minimum", "quantile(0.1)", "quantile(0.25)", "quantile(0.5)")
    found: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        judged = list(lines(path))
        human = [line["da_z_mean"] for line in judged]
        read = [
            Distributions.of_tokens([TokenLogprob("", min(p, 0.0)) for p in line["token_logprobs"]]) for line in judged
        ]
        values = {way: [metric(way).score(one) for one in read] for way in ways}
        found[path.name[:5]] = [float(np.corrcoef(values[way], human)[0, 1]) for way in ways]
    means = np.mean(list(found.values()), axis=0)
    rows = [(pair, *(f"{value:.3f}" for value in row)) for pair, row in (*found.items(), ("mean", means))]
    return (
        "MLQE-PE: Pearson correlation with people's judgement, 1,000 translations a pair\n" + table(("", *ways), rows),
        {"mlqe": {pair: dict(zip(ways, row, strict=True)) for pair, row in found.items()}},
    )


def _multiple_choice() -> tuple[str, dict[str, object]]:
    path = data_folder("llm-outputs/mcqa-confidence") / "answers.jsonl.gz"
    raw, few, many, auroc = [], [], [], []
    for line in lines(path):
        if line["score"] != "max_softmax_prob":
            continue
        pairs = [(c, t == "1") for c, t in zip(line["confidence"], line["correct"], strict=True) if t != "."]
        random.Random(0).shuffle(pairs)
        sure, right = np.clip([c for c, _ in pairs], 0, 1), np.array([t for _, t in pairs])
        labels = 200 if len(pairs) > 600 else 100
        rest = slice(labels, None)
        raw.append(expected_calibration_error(sure[rest], right[rest]))
        auroc.append(area_under_roc(sure[rest], right[rest]))
        for out, count in ((few, 50), (many, labels)):
            learned = fit_calibrator(sure[:count], right[:count])
            out.append(expected_calibration_error(learned.probabilities(sure[rest]), right[rest]))
    means = {
        "as it is": float(np.mean(raw)), "50 labels": float(np.mean(few)), "200 labels": float(np.mean(many)),
        "AUROC": float(np.mean(auroc)),
    }  # fmt: skip
    title = f"Multiple choice: expected calibration error, mean over {len(raw)} of model and set (lower is better)"
    return title + "\n" + table(list(means), [[f"{value:.3f}" for value in means.values()]]), {"mcqa": means}


def _pages() -> tuple[str, dict[str, object]]:
    folder = data_folder("llm-outputs/wikifact-answers-per-source")
    rows, found = [], {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        first, vote5, vote, sure = [], [], [], []
        for line in lines(path):
            gold = {normalised(answer) for answer in line["gold"]}
            answers = line["answers"]
            if not any(map(str.strip, answers)):
                continue
            first.append(normalised(answers[0]) in gold)
            for out, several in ((vote5, answers[:5]), (vote, answers)):
                ended = majority_vote(several)
                out.append(ended.winner is not None and normalised(several[ended.winner]) in gold)
            sure.append(majority_vote(answers).share)
        values = [*(float(np.mean(column)) for column in (first, vote5, vote)), area_under_roc(sure, vote)]
        name = path.name.removesuffix(".jsonl.gz")
        rows.append((name, len(first), *(f"{value:.3f}" for value in values)))
        found[name] = values
    header = ("", "questions", "first page", "vote of 5", "vote of all", "AUROC of its share")
    return "WikiFact: share of right answers\n" + table(header, rows), {"wikifact": found}


# -- the reader ------------------------------------------------------------------------------------------


def _reader(embedder: TokenEmbedder, asked: argparse.Namespace) -> Reader:
    folder = data_folder("nq-qed")
    kept = None if asked.cache is None else asked.cache / f"reader-{LEARNED}-{EPOCHS}"
    if kept is not None and kept.is_dir():
        return Reader.load(kept, embedder)
    dev = {passage for _, passage, _ in list(examples_of(folder, "dev"))[:100]}
    learn = [example for example in examples_of(folder, "train") if example[1] not in dev]
    random.Random(0).shuffle(learn)
    learn = learn[:LEARNED]
    embed(embedder, [p for _, p, _ in learn], PASSAGE_TOKENS, asked.cache, f"learned-{LEARNED}")
    embed(embedder, [q for q, _, _ in learn], QUESTION_TOKENS, asked.cache, f"learned-questions-{LEARNED}")
    reader = Reader(embedder)
    reader.train(learn, epochs=EPOCHS)
    if kept is not None:
        reader.save(kept)
    return reader


@dataclass(frozen=True)
class Answers:
    """Of one question: a generation from each embedding, and how good each is (exact match, F1).

    ``consistent`` is that of the majority of as many samples from the first embedding's passages.
    """

    generations: list[Generation]
    exact: list[float]
    f1: list[float]
    consistent: tuple[float, float]


def _read(data: ReadingSet, reader: Reader, asked: argparse.Namespace) -> tuple[str, dict[str, object]]:
    questions = [*data.test, *data.labelled]
    found = searched(data, [question.text for question in questions], reader.embed, asked.cache, READ)
    every = []
    for question, rankings in zip(questions, found, strict=True):
        made = [_generation(name, reader, question, rankings[name]) for name in EMBEDDINGS]
        texts = _texts(rankings[EMBEDDINGS[0]])
        samples = [one.text for one in reader.sample(question.text, texts, len(EMBEDDINGS))]
        winner = majority_vote(samples).winner
        every.append(_judged(made, "" if winner is None else samples[winner], question))
    return _tables(data, every[: len(data.test)], every[len(data.test) :])


def _texts(ranking: Ranking) -> list[str]:
    return [candidate.text or "" for candidate in ranking]


def _generation(name: str, reader: Reader, question: Question, ranking: Ranking) -> Generation:
    answer = reader.read(question.text, _texts(ranking))
    if answer.passage < 0:
        return Generation(name, refusal=True, passages=ranking)
    # The two steps have outcomes of their own: each is read alone, and they are joined as rows of one answer.
    rows = [
        Distributions.of_scores(step[None], np.array([at]))
        for step, at in zip(answer.steps, answer.chosen, strict=True)
    ]
    width = max(row.steps.shape[1] for row in rows)
    steps = np.concatenate(
        [np.pad(r.steps, ((0, 0), (0, width - r.steps.shape[1])), constant_values=-np.inf) for r in rows]
    )
    chosen, outcomes = (np.concatenate([getattr(row, part) for row in rows]) for part in ("chosen", "outcomes"))
    return Generation(name, answer.text, Distributions(chosen, steps, outcomes, exact=True), ranking)


def _judged(generations: list[Generation], consistent: str, question: Question) -> Answers:
    gold = [normalised(answer) for answer in question.answers]
    *good, voted = [
        (float(bool(text) and text in gold), max(_f1(text, one) for one in gold))
        for text in map(normalised, [*(one.text for one in generations), consistent])
    ]
    return Answers(generations, [em for em, _ in good], [f1 for _, f1 in good], voted)


def _f1(said: str, gold: str) -> float:
    mine, right = said.split(), gold.split()
    shared = sum((Counter(mine) & Counter(right)).values())
    return 2 * shared / (len(mine) + len(right)) if shared else 0.0


def _tables(data: ReadingSet, test: list[Answers], labelled: list[Answers]) -> tuple[str, dict[str, object]]:
    exact, f1 = (np.array([getattr(one, part) for one in test]) for part in ("exact", "f1"))
    single = int(np.mean([one.f1 for one in labelled], axis=0).argmax())
    rows, found = [], {}

    def add(name: str, cost: float, em: np.ndarray, quality: np.ndarray, *more: str) -> None:
        gain = quality - f1[:, single]
        low, high = _interval(gain)
        cells = (
            f"{cost:.2f}",
            f"{em.mean():.3f}",
            f"{quality.mean():.3f}",
            f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
        )
        rows.append((name, *cells, *(more or ("", ""))))
        found[name] = {"generations": cost, "em": em.mean(), "f1": quality.mean(), "gain": [gain.mean(), low, high]}

    for place, name in enumerate(EMBEDDINGS):
        add(name + (" (chosen on labelled)" if place == single else ""), 1, exact[:, place], f1[:, place])
    for way in WAYS:
        selector = AnswerSelector(way)
        picked = np.array([_picked(selector, one) for one in test])
        at = np.arange(len(test))
        learned = calibrate_answers(
            selector, [(one.generations, [value == 1 for value in one.exact]) for one in labelled], on=data.name
        )
        sure = [selector.calibrated(learned).select(one.generations).decision.confidence for one in test]
        right = exact[at, picked] == 1
        told = (f"{area_under_roc(sure, right):.3f}", f"{expected_calibration_error(sure, right):.3f}")
        add(way, len(EMBEDDINGS), exact[at, picked], f1[at, picked], *told)
        found[way] |= {"auroc": float(told[0]), "ece": float(told[1]), "brier": brier_score(sure, right)}
    at = np.arange(len(test))
    drawn = np.random.default_rng(0).integers(0, len(EMBEDDINGS), len(test))
    add("random embedding", 1, exact[at, drawn], f1[at, drawn])
    em, quality = (np.array(column) for column in zip(*(one.consistent for one in test), strict=True))
    add(f"self-consistency, {EMBEDDINGS[0]} alone", len(EMBEDDINGS), em, quality)
    add("best of all (oracle)", len(EMBEDDINGS), exact.max(axis=1), f1.max(axis=1))
    _cascades(labelled, test, add, first=single)
    header = ("", "generations", "exact match", "F1", "F1 over the best single", "AUROC", "ECE")
    title = (
        f"{data.name}: {len(test)} questions, {len(data.passages)} passages, the reader reads {READ} of each embedding"
    )
    return title + "\n" + table(header, rows), found


def _cascades(labelled: list[Answers], test: list[Answers], add, *, first: int) -> None:
    order = [first, *(place for place in range(len(EMBEDDINGS)) if place != first)]
    selector = AnswerSelector("average_logprob")
    questions = [(one.generations, [value == 1 for value in one.exact]) for one in labelled]
    each = calibrate_answers(selector, questions, on="").each

    def sure(answers: list[Answers]) -> np.ndarray:
        rows = [[selector.score(one.generations[place]) for place in order] for one in answers]
        return np.array([[0.0 if value is None else each.probability(value) for value in row] for row in rows])

    curve = cascade_curve(sure(labelled), np.array([one.f1 for one in labelled])[:, order])
    table_of = {part: np.array([getattr(one, part) for one in test])[:, order] for part in ("exact", "f1")}
    confidences, rows = sure(test), np.arange(len(test))
    for wanted in (1.25, 1.5, 2.0, 3.0):
        threshold = curve.for_generations(wanted)
        enough = confidences[:, :-1] >= threshold
        stops = np.where(enough.any(axis=1), enough.argmax(axis=1), len(order) - 1)
        given = np.where(enough.any(axis=1), stops, confidences.argmax(axis=1))
        cost = float((stops + 1).mean())
        add(
            f"cascade, {wanted:g} generations wanted", cost, table_of["exact"][rows, given], table_of["f1"][rows, given]
        )


def _picked(selector: AnswerSelector, answers: Answers) -> int:
    best = selector.best(answers.generations)
    return 0 if best is None else best[0]


def _interval(gain: np.ndarray) -> tuple[float, float]:
    draws = np.random.default_rng(0).integers(0, len(gain), size=(4000, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
