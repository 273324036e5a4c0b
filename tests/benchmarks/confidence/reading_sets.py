"""Questions with answers, passages to find them in, and a collection with four embeddings to find them with.

One pass of all-MiniLM-L6-v2 over a passage gives its mean, maximum and [CLS] pooled vectors and the token vectors that
the reader reads; BM25, the collection's sparse vector, is the fourth. A set is small because that pass is most of the
benchmark: the gold passages of its questions, and others drawn by seed.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import ROOT, data_folder

sys.path.insert(0, str(ROOT / "examples"))
from train_reader import PASSAGE_TOKENS, QUESTION_TOKENS, Encoded, TokenEmbedder, lines

from octant import Collection, Rankings
from octant.sparse import Bm25

POOLS = {"minilm": lambda s: s.mean(0), "minilm-max": lambda s: s.max(0), "minilm-cls": lambda s: s[0]}
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


class Pooled:
    """LangChain's ``Embeddings``: MiniLM's token vectors as one unit vector (384,), by mean, maximum or first token.

    The mean is what the model was trained for; the other two make worse embeddings that fail on other questions.
    """

    def __init__(self, tokens: TokenEmbedder, how: str) -> None:
        self.tokens, self.model = tokens, how

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._pooled(self.tokens(texts, PASSAGE_TOKENS))

    def embed_query(self, text: str) -> list[float]:
        return self._pooled(self.tokens([text], QUESTION_TOKENS))[0]

    def _pooled(self, encoded: list[Encoded]) -> list[list[float]]:
        vectors = np.stack([POOLS[self.model](one.states.astype(np.float32)) for one in encoded])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()


def searched(
    data: ReadingSet, questions: list[str], tokens: TokenEmbedder, cache: Path | None, k: int
) -> list[Rankings]:
    """The best ``k`` passages of every embedding for each question, from one collection that holds all of them."""
    texts = list(data.passages.values())
    embed(tokens, texts, PASSAGE_TOKENS, cache, f"{data.name}-{len(texts)}")
    embed(tokens, questions, QUESTION_TOKENS, cache, f"{data.name}-questions-{len(questions)}")
    settings = {how: {"embedding": Pooled(tokens, how), "represent": "float32"} for how in POOLS}
    words = Bm25(average_length=float(np.mean([len(text.split()) for text in texts])))
    with Collection.create(
        data.name, location=":memory:", embeddings=settings, sparse=words, sparse_name="bm25"
    ) as collection:
        collection.add(texts, ids=list(data.passages))
        return collection.search_each_batch(questions, k, embeddings=EMBEDDINGS)
