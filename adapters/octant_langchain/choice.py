"""One search over several embeddings of a store, and the decision between them, as LangChain sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from octant import Collection, Decision, Ranking, Rankings, errors, selector
from octant_langchain.convert import as_knobs
from octant_langchain.tool import DECISION

_OPTIONS = ("filter", "search_params")


class Choice:
    """A selector over the embeddings of one collection.

    Parameters
    ----------
    collection : Collection
    spec : str or octant.selectors.Selector
    embeddings : sequence of str, optional
        Which to ask, for a cascade the cheapest first; every one that takes texts without it.
    timeout : float, optional
        Seconds that each model has.
    **options
        Of :func:`octant.selector`: ``learned``, ``calibration``.

    Raises
    ------
    InputError
        If an embedding is not there, or cannot embed a question.
    OctantError
        As :func:`octant.selector`.
    """

    def __init__(
        self,
        collection: Collection,
        spec: Any,
        embeddings: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        self.collection, self._timeout = collection, timeout
        known = collection.embeddings
        usable = [name for name, info in known.items() if info.takes_texts and info.complete]
        self.embeddings = tuple(usable if embeddings is None else embeddings)
        missing = [name for name in self.embeddings if name not in usable]
        if missing or not self.embeddings:
            raise errors.InputError(
                f"the embeddings of this collection that take a question are {', '.join(usable) or 'none'}; got "
                f"{', '.join(map(repr, missing)) or 'none'}: open it with the model of each (embeddings=)"
            )
        self.selector = selector(spec, **{"collection": collection, **options})

    def find(self, query: str, k: int, options: Mapping[str, Any], **search: Any) -> tuple[Ranking, Decision]:
        """The best ``k`` for ``query`` under ``options`` of a search, and why they are."""
        asked = {**_request(options), **search, "timeout": self._timeout}

        def ask(names: tuple[str, ...], depth: int) -> Rankings:
            return self.collection.search_each(query, depth, embeddings=names, **asked)

        return self.selector.search(ask, self.embeddings, k)

    async def afind(self, query: str, k: int, options: Mapping[str, Any], **search: Any) -> tuple[Ranking, Decision]:
        """Awaited twin of :meth:`find`."""
        asked = {**_request(options), **search, "timeout": self._timeout}

        async def ask(names: tuple[str, ...], depth: int) -> Rankings:
            return await self.collection.asearch_each(query, depth, embeddings=names, **asked)

        return await self.selector.asearch(ask, self.embeddings, k)


def decided(documents: list[Document], decision: Decision | None) -> list[Document]:
    """Copies of ``documents`` that carry the decision; themselves where there is none."""
    if decision is None:
        return documents
    told = decision.as_json()
    return [document.model_copy(update={"metadata": {**document.metadata, DECISION: told}}) for document in documents]


def _request(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise errors.InputError(
            f"a search that chooses between embeddings takes {' and '.join(_OPTIONS)}; got {', '.join(unknown)}"
        )
    return {"filter": options.get("filter"), "knobs": as_knobs(options.get("search_params"))}
