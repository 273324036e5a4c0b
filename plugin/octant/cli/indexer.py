"""Documents into a collection: what is there already is left alone, what changed is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from octant.collection import Collection
from octant.documents import Document, passage_id
from octant.embedders import Embedder
from octant.flow import run
from octant.records import JSON, Candidate, FloatArray

BATCH = 256
"""Passages that are embedded and stored at a time; each batch is durable before the next begins."""

SAMPLE = 5_000
"""Passages that a representation learns from."""


@dataclass(frozen=True)
class Passage:
    """One point to be.

    Attributes
    ----------
    id, text : str
    payload : mapping
    successor : str or None
        Of a document's last passage: the id that the next one would have, stored only if it had more once.
    """

    id: str
    text: str
    payload: Mapping[str, JSON]
    successor: str | None


@dataclass
class Outcome:
    """What an indexing did, in passages.

    Attributes
    ----------
    added, replaced, unchanged, removed : int
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0


@dataclass
class Survey:
    """What a first reading of the corpus found.

    Attributes
    ----------
    documents, passages : int
    sample : list of str
        Passages drawn at random, evenly over the whole corpus.
    """

    documents: int = 0
    passages: int = 0
    sample: list[str] = field(default_factory=list)


def survey(documents: Iterable[Document], size: int = SAMPLE, seed: int = 0) -> Survey:
    """Count the corpus and draw ``size`` of its passages by reservoir sampling."""
    found, rng = Survey(), np.random.default_rng(seed)
    for document in documents:
        found.documents += 1
        for text in document.passages:
            found.passages += 1
            if len(found.sample) < size:
                found.sample.append(text)
            elif (slot := int(rng.integers(found.passages))) < size:
                found.sample[slot] = text
    return found


def embed(model: Embedder, texts: Sequence[str], progress: Callable[[int], object]) -> FloatArray:
    """Vectors (n, dim) of ``texts``, a batch at a time."""
    blocks = []
    for start in range(0, len(texts), BATCH):
        blocks.append(run(model.embed_documents(texts[start : start + BATCH])))
        progress(len(blocks[-1]))
    return np.concatenate(blocks)


def index(
    collection: Collection,
    model: Embedder,
    documents: Iterable[Document],
    known: Mapping[str, FloatArray],
    progress: Callable[[int], object],
) -> Outcome:
    """Store every passage that is not stored yet, or was another text or payload.

    Parameters
    ----------
    collection : Collection
        Fitted, if its representation learns.
    model : Embedder
        The collection's.
    documents : iterable of Document
    known : mapping from text to (dim,) vector
        Passages that have been embedded already.
    progress : callable
        Called with the number of passages that were just dealt with.
    """
    outcome = Outcome()
    # A new collection holds nothing that could be compared with.
    is_new = collection.count() == 0
    first = next(iter(collection.embeddings))
    passages = _passages(documents)
    while batch := list(islice(passages, BATCH)):
        stored = {} if is_new else _stored(collection, batch)
        due = [passage for passage in batch if _differs(passage, stored.get(passage.id))]
        if due:
            texts = [passage.text for passage in due]
            collection.add(
                texts,
                vectors={first: _vectors(model, texts, known)},
                payloads=[passage.payload for passage in due],
                ids=[passage.id for passage in due],
            )
        replaced = sum(passage.id in stored for passage in due)
        outcome.added += len(due) - replaced
        outcome.replaced += replaced
        outcome.unchanged += len(batch) - len(due)
        for passage in batch:
            if passage.successor in stored:
                outcome.removed += _remove_tail(collection, passage.successor)
        progress(len(batch))
    return outcome


def _passages(documents: Iterable[Document]) -> Iterator[Passage]:
    for document in documents:
        count = len(document.passages)
        successor = passage_id(document.id, count)
        for part, (text, payload) in enumerate(zip(document.passages, document.payloads, strict=True)):
            yield Passage(passage_id(document.id, part), text, payload, successor if part == count - 1 else None)


def _stored(collection: Collection, batch: Sequence[Passage]) -> dict[str, Candidate]:
    wanted = [passage.id for passage in batch]
    wanted += [passage.successor for passage in batch if passage.successor is not None]
    return {str(candidate.id): candidate for candidate in collection.get(dict.fromkeys(wanted))}


def _differs(passage: Passage, stored: Candidate | None) -> bool:
    return stored is None or stored.text != passage.text or dict(stored.payload) != dict(passage.payload)


def _vectors(model: Embedder, texts: Sequence[str], known: Mapping[str, FloatArray]) -> FloatArray:
    unknown = [text for text in dict.fromkeys(texts) if text not in known]
    fresh = dict(zip(unknown, run(model.embed_documents(unknown)), strict=True)) if unknown else {}
    return np.stack([fresh[text] if text in fresh else known[text] for text in texts])


def _remove_tail(collection: Collection, first: str) -> int:
    """Delete what a document that became shorter left behind, from its passage ``first`` on."""
    document, _, part = first.rpartition("#")
    removed, start = 0, int(part)
    while found := collection.get([passage_id(document, part) for part in range(start, start + BATCH)]):
        collection.delete([candidate.id for candidate in found])
        removed += len(found)
        start += BATCH
    return removed
