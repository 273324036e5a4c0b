"""Questions with answers, passages to find them in, and four embeddings to find them with.

One pass of all-MiniLM-L6-v2 over a passage gives its mean, maximum and [CLS] pooled vectors and the token vectors that
the reader reads; BM25 is the fourth. A set is small because that pass is most of the benchmark: the gold passages of
its questions, and others drawn by seed.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bm25 import bm25_scores
from harness import ROOT, data_folder

sys.path.insert(0, str(ROOT / "examples"))
from train_reader import PASSAGE_TOKENS, QUESTION_TOKENS, Encoded, TokenEmbedder, lines

EMBEDDINGS = ("minilm", "bm25", "minilm-max", "minilm-cls")
PASSAGES = {"nq-qed": 1500, "squad": 800}


@dataclass(frozen=True)
class Question:
    text: str
    answers: tuple[str, ...]
    passage: str


@dataclass(frozen=True)
class ReadingSet:
    """``test`` questions, ``labelled`` ones of the same kind to choose and calibrate on, and passages by id."""

    name: str
    test: list[Question]
    labelled: list[Question]
    passages: dict[str, str]


def nq(asked: int, *, learned: int, labelled: int = 200) -> ReadingSet:
    """nq-qed dev; labelled are train questions that the reader has not learned from (seed 0, after ``learned``)."""
    folder = data_folder("nq-qed")
    passages = {str(line["_id"]): str(line["text"]) for line in lines(folder / "corpus.jsonl.gz")}
    test = _drawn(_questions(folder, "dev"), asked)
    dev = {passages[question.passage] for question in _questions(folder, "dev")[:100]}
    train = [question for question in _questions(folder, "train") if passages[question.passage] not in dev]
    random.Random(0).shuffle(train)  # as examples/train_reader.py does
    kept = {question.passage for question in test}
    rest = [question for question in train[learned:] if question.passage not in kept]
    return _small("nq-qed", test, rest[:labelled], passages)


def squad(asked: int, *, labelled: int = 100) -> ReadingSet:
    """SQuAD 1.1 dev; test questions are about other articles than the labelled ones."""
    folder = data_folder("squad-v1.1-dev")
    lists = {str(line["_id"]): line for line in lines(folder / "corpus.jsonl.gz")}
    questions = _questions(folder, "dev")
    halves = {half: [q for q in questions if int(q.passage[1:3]) % 2 == half] for half in (0, 1)}
    passages = {name: str(line["text"]) for name, line in lists.items()}
    return _small("squad", _drawn(halves[0], asked), _drawn(halves[1], labelled), passages)


def _questions(folder: Path, split: str) -> list[Question]:
    texts = {line["_id"]: line for line in lines(folder / f"queries-{split}.jsonl.gz")}
    found = []
    for row in (folder / f"qrels-{split}.tsv").read_text().splitlines()[1:]:
        query, passage, _ = row.split("\t")
        answers = tuple(texts[query].get("answers", ()))
        if answers:
            found.append(Question(texts[query]["text"], answers, passage))
    return found


def _drawn(questions: list[Question], n: int) -> list[Question]:
    return random.Random(0).sample(questions, min(n, len(questions)))


def _small(name: str, test: list[Question], labelled: list[Question], passages: dict[str, str]) -> ReadingSet:
    gold = {question.passage for question in (*test, *labelled)}
    others = [passage for passage in passages if passage not in gold]
    random.Random(0).shuffle(others)
    kept = [*gold, *others[: max(PASSAGES[name] - len(gold), 0)]]
    return ReadingSet(name, test, labelled, {passage: passages[passage] for passage in sorted(kept)})


# -- embedding and searching -----------------------------------------------------------------------------


def embed(embedder: TokenEmbedder, texts: list[str], length: int, cache: Path | None, name: str) -> list[Encoded]:
    """Tokens of texts, kept in ``cache`` from one run to the next."""
    path = None if cache is None else cache / f"tokens-{name}-{length}.npz"
    if path is not None and path.is_file():
        kept = np.load(path)
        ends = np.cumsum(kept["lengths"])
        parts = [np.split(kept[part], ends[:-1]) for part in ("ids", "states", "spans")]
        for text, ids, states, spans in zip(kept["texts"], *parts, strict=True):
            embedder.known[str(text), length] = Encoded(str(text), ids, states, spans)
    found = embedder(texts, length, show=True)
    if path is not None and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unique = list({one.text: one for one in found}.values())
        parts = {part: np.concatenate([getattr(one, part) for one in unique]) for part in ("ids", "states", "spans")}
        lengths = np.array([len(one.ids) for one in unique])
        np.savez(path, lengths=lengths, texts=np.array([one.text for one in unique]), **parts)
    return found


def pooled(encoded: list[Encoded], how: str) -> np.ndarray:
    """Unit vectors (n, 384): the mean (as the model was trained), the maximum, or the first token of the states."""
    pool = {"minilm": lambda s: s.mean(0), "minilm-max": lambda s: s.max(0), "minilm-cls": lambda s: s[0]}[how]
    vectors = np.stack([pool(one.states.astype(np.float32)) for one in encoded])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scores(
    data: ReadingSet, questions: list[str], embedder: TokenEmbedder, cache: Path | None
) -> dict[str, np.ndarray]:
    """Score (questions, passages) of every embedding, higher is nearer; passages in the order of ``data.passages``."""
    texts = list(data.passages.values())
    read = embed(embedder, texts, PASSAGE_TOKENS, cache, f"{data.name}-{len(texts)}")
    asked = embed(embedder, questions, QUESTION_TOKENS, cache, f"{data.name}-questions-{len(questions)}")
    found = {how: pooled(asked, how) @ pooled(read, how).T for how in EMBEDDINGS if how != "bm25"}
    return {how: found.get(how) if how != "bm25" else bm25_scores(questions, texts) for how in EMBEDDINGS}
