"""E2Rank: one prompt of the query and its best passages, embedded once, scores every candidate by its stored vector."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from octant.errors import InputError, MismatchError, MissingExtraError, RerankError, told
from octant.flow import Flow, awaitable, blocking, step
from octant.records import Filter, FloatArray, Ranking
from octant.rerankers.base import Reranker
from octant.rerankers.e2rank_model import E2RankRecord, Use
from octant.rerankers.e2rank_prompt import PASSAGES, SHORTEST, ListPrompt, list_prompt
from octant.rerankers.ledger import Ledger
from octant.rerankers.order import Order
from octant.rerankers.run import Run
from octant.rerankers.settings import Searchable, TextEmbedder, whole
from octant.rerankers.shelf import Shelf
from octant.tokens import Tokens


class E2Rank(Reranker):
    """Embeds a listwise prompt as a pseudo-query, and orders candidates by their cosine with it (2510.22733).

    The prompt holds the query and the best passages; its embedding is a query that has read them. Candidates are
    compared by the vectors that the collection stores, so one short text is embedded for a whole ranking and no
    passage is. Scores are cosines, the higher the better.

    A model that was not trained for it gains nothing as a rule: ``octant train e2rank`` trains one for a collection.
    Only the query's side learns; vectors that are stored stay valid. The paper trains one model for both sides:
    collections that were embedded with a published E2Rank model need no ``model``, but ``chat=true``.

    Candidates that carry no vectors are scored by Qdrant, with a filter on their ids, where ``octant.reranker`` was
    given ``collection=``.

    Parameters
    ----------
    model : str or None
        Folder that ``octant train e2rank`` wrote. None: the embedding model itself, as it is.
    passages : int or None
        Most passages in the prompt. None: as the model was trained, or 20.
    weight : float or None
        Share of the pseudo-query in the vector that scores, from 0 to 1; the query's own vector has the rest. None:
        as training chose, or 1.
    context : int or None
        Tokens that the prompt may have, where the model does not tell how many it reads, or fewer are wanted.
    shortest : int or None
        Fewest tokens to which a passage is cut; where there is no room for so many of each, the prompt has fewer
        passages. None: as the model was trained, or 16.
    chat : bool
        Whether the prompt is a user's turn in the model's chat template.
    """

    name: ClassVar[str] = "e2rank"
    needs_vectors = True
    needs_embedder = True

    def __init__(
        self,
        model: str | None = None,
        passages: int | None = None,
        weight: float | None = None,
        context: int | None = None,
        shortest: int | None = None,
        chat: bool = False,
    ) -> None:
        if model is not None and not isinstance(model, str):
            raise InputError(f"model must be the path of a folder, got {model!r}")
        for name, value, least in (("passages", passages, 1), ("context", context, 32), ("shortest", shortest, 8)):
            if value is not None:
                whole(name, value, least=least)
        if weight is not None and (isinstance(weight, bool) or not 0 <= weight <= 1):
            raise InputError(f"weight must be a number from 0 to 1, got {weight!r}")
        if not isinstance(chat, bool):
            raise InputError(f"chat must be true or false, got {chat!r}")
        self.model, self.passages, self.weight = model, passages, weight
        self.context, self.shortest, self.chat = context, shortest, chat
        self._record = None if model is None else E2RankRecord.read(Path(model).expanduser())

    @property
    def record(self) -> E2RankRecord | None:
        """What the model was trained for, and what it reached; None without ``model``."""
        return self._record

    @cached_property
    def use(self) -> Use:
        """How the pseudo-query is made and used: as it was asked for, else as training chose."""
        chosen = Use(PASSAGES, SHORTEST, 1.0) if self._record is None else self._record.use
        given = {
            "passages": self.passages, "shortest": self.shortest, "weight": self.weight, "context": self.context,
        }  # fmt: skip
        return replace(chosen, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]

    # -- reranking -----------------------------------------------------------------------------

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        if not (yield from self._trusted(run)):
            return Order.unchanged(len(ranking))
        vector = yield from self._pseudo_query(query, ranking, run)
        if all(candidate.vector is not None for candidate in ranking):
            scores = yield from step(lambda: _cosines(vector, ranking))
        else:
            scores = yield from self._scored_by_engine(vector, ranking, run)
        return Order.by_score(scores, "cosine")

    def _without_vectors(self, ranking: Ranking) -> bool:
        return self._settings.collection is None and super()._without_vectors(ranking)

    def _trusted(self, run: Run) -> Flow[bool]:
        """Whether validation has shown what the trained model does here, and that it does something."""
        if self._record is None:
            return True
        if self.use.weight == 0:
            run.remark(f"{self.model}: training found nothing surely better than no change")
            return False
        untried = yield from (self._settings.shelf or Shelf()).untried(self._record)
        if untried is not None:
            run.remark(untried)
        return untried is None

    def _scored_by_engine(self, vector: FloatArray, ranking: Ranking, run: Run) -> Flow[list[float | None]]:
        collection = run.collection
        if collection.distance.value != "Cosine":
            raise InputError(
                f"{self!r} compares by cosine, and the collection's distance is {collection.distance.value}: search "
                "with with_vectors=True, so that candidates are compared outside of it"
            )
        wanted: Filter = {"must": [{"has_id": list(ranking.ids)}]}
        found = yield from _search(collection, vector, len(ranking), wanted)
        scores = {candidate.id: candidate.score for candidate in found}
        return [scores.get(point) for point in ranking.ids]

    # -- the pseudo-query ----------------------------------------------------------------------

    def _pseudo_query(self, query: str, ranking: Ranking, run: Run) -> Flow[FloatArray]:
        """Unit vector (dim,) that scores: the prompt's, mixed with the query's."""
        reader = yield from self._reader(run)
        prompt = yield from self._prompt(query, ranking, reader, run)
        weight = self.use.weight
        mixed = _units((yield from reader.embed_queries([prompt.text])))
        if weight < 1:
            own = _units((yield from run.embedder.embed_queries([query])))
            mixed = _units(weight * mixed + (1 - weight) * own)
        return np.asarray(mixed[0], np.float32)

    def _reader(self, run: Run) -> Flow[TextEmbedder]:
        """The model that embeds the prompt."""
        embedder = run.embedder
        if self._record is None or self.model is None:
            return embedder
        record, folder = self._record, Path(self.model).expanduser()
        record.check_embedding((yield from step(lambda: embedder.identity)))
        if not record.use.tuned:
            return embedder  # the same model: no need to hold it twice
        return (yield from step(lambda: run.model_at(folder, record.check_weights)))

    def _prompt(self, query: str, ranking: Ranking, reader: TextEmbedder, run: Run) -> Flow[ListPrompt]:
        use = self.use
        tokens = yield from reader.tokens()
        if tokens is None:
            tokens = Tokens(run.count_tokens)
            if use.context is None:
                run.remark("the model does not tell how much it reads, so nothing was cut: say it with context=")
        if use.context is not None:
            tokens = replace(tokens, limit=min(use.context, tokens.limit or use.context))
        texts, chosen = [candidate.text or "" for candidate in ranking], tokens
        prompt = yield from step(
            lambda: list_prompt(query, texts, chosen, most=use.passages, shortest=use.shortest, chat=self.chat)
        )
        run.measure("passages in the prompt", prompt.passages)
        run.measure("passages in the prompt in part", prompt.shortened)
        run.measure("tokens of the prompt", prompt.tokens)
        return prompt

    # -- beside reranking ----------------------------------------------------------------------

    def _retrieve(self, query: str, ranking: Ranking, k: int = 10, *, filter: Filter | None = None) -> Flow[Ranking]:  # noqa: A002
        """Search the collection anew with the pseudo-query that the passages of ``ranking`` make.

        No reranking: what the first search missed may come, and what it found may go. Needs ``collection=``.

        Parameters
        ----------
        query : str
        ranking : Ranking
            Of a first search; its best passages are read.
        k : int
            Answers wanted.
        filter : mapping, optional
            The same as that of the first search.

        Returns
        -------
        Ranking
            Of the collection, with a report. ``ranking`` cut to ``k`` where the pseudo-query could not be made, and
            the reason in ``report.failure``.

        Raises
        ------
        InputError
            If something that it needs was not given.
        RerankError
            Where the pseudo-query could not be made and ``on_failure`` is "raise".
        """
        whole("k", k, least=1)
        self._check_needs(self._settings)
        run = Run(self._settings, Ledger(self._settings.budget), method=repr(self), query=query, k=k)
        found = replace(ranking, candidates=ranking.candidates[:k])
        collection = run.collection
        try:
            readable = [candidate for candidate in ranking if candidate.text and candidate.text.strip()]
            if not query.strip() or not readable:
                run.fail("the query is blank" if not query.strip() else "no passage has a text")
            elif (yield from self._trusted(run)):
                part = replace(ranking, candidates=tuple(readable))
                vector = yield from self._pseudo_query(query, part, run)
                found = yield from _search(collection, vector, k, filter)
        except (InputError, MissingExtraError, RerankError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever goes wrong, there is the first search
            run.fail(told(error), error)
        return replace(found, query=query, report=run.report())

    retrieve = blocking(_retrieve)
    aretrieve = awaitable(_retrieve)


def _search(collection: Searchable, vector: FloatArray, k: int, wanted: Filter | None) -> Flow[Ranking]:
    return (
        yield from step(
            lambda: collection.search(vector, k, filter=wanted), lambda: collection.asearch(vector, k, filter=wanted)
        )
    )


def _cosines(vector: FloatArray, ranking: Ranking) -> list[float | None]:
    """Cosine of each candidate with ``vector``.

    Raises
    ------
    MismatchError
        If their widths differ.
    """
    rows = np.stack([np.asarray(candidate.vector, np.float32) for candidate in ranking])
    if rows.shape[1] != len(vector):
        raise MismatchError(
            f"the pseudo-query has {len(vector)} coordinates and the candidates {rows.shape[1]}: pass the embedding "
            "model that made their vectors"
        )
    return [float(score) for score in np.clip(_units(rows) @ vector, -1, 1)]


def _units(rows: FloatArray) -> FloatArray:
    """Rows (n, dim) of unit length; a row of zeros stays, and is as far from one vector as from another."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
