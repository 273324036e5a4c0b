"""A retriever as a tool for agents, whose artifact carries the documents and the decision behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from octant import Decision, confidence, errors
from octant_langchain.passages import shown

DECISION = "octant_decision"
"""Key of a document's metadata, and of a run's, that carries a decision as JSON."""


@dataclass(frozen=True)
class Retrieved:
    """What a retriever tool found, for whoever runs the agent; the model sees the text of it.

    Attributes
    ----------
    documents : tuple of Document
    decision : Decision or None
        Which embedding was chosen and how sure that is; None where the retriever makes no choice.
    answer : str or None
        Of a :class:`ConfidentRAG`; None for a plain retriever.
    """

    documents: tuple[Document, ...]
    decision: Decision | None = None
    answer: str | None = field(default=None)


class Asked(BaseModel):
    """What the model fills in."""

    query: str = Field(description="what to look for, as a question or in keywords")


def create_retriever_tool(retriever: Any, name: str, description: str, *, tell_confidence: bool = True) -> BaseTool:
    """A tool that retrieves; made as LangChain's function of this name makes it, with a decision in its artifact.

    Parameters
    ----------
    retriever : Runnable
        From a question to documents (a retriever), or to a dict with ``documents``, ``decision`` and ``answer``
        (:class:`ConfidentRAG`). A decision in the documents' metadata under ``octant_decision`` is found too.
    name, description : str
        What the model reads. Say in the description what the documents are about.
    tell_confidence : bool
        Tell the model too how sure the choice is, and that weak passages are weak.

    Returns
    -------
    BaseTool
        Its content is the numbered passages; its artifact a :class:`Retrieved` (``response_format`` is
        ``"content_and_artifact"``).

    Raises
    ------
    InputError
        If the retriever cannot be invoked.
    """
    if not callable(getattr(retriever, "invoke", None)):
        told = type(retriever).__name__
        raise errors.InputError(f"retriever must be a Runnable such as an OctantRetriever, got {told}")

    def search(query: str, config: RunnableConfig) -> tuple[str, Retrieved]:
        return _told(retriever.invoke(query, config), tell_confidence)

    async def asearch(query: str, config: RunnableConfig) -> tuple[str, Retrieved]:
        return _told(await retriever.ainvoke(query, config), tell_confidence)

    return StructuredTool.from_function(
        search, asearch, name=name, description=description, args_schema=Asked, response_format="content_and_artifact"
    )


def _told(found: Any, tell_confidence: bool) -> tuple[str, Retrieved]:
    retrieved = _retrieved(found)
    parts = [shown(retrieved.documents) or confidence.WORDING]
    if retrieved.answer:
        parts.append(f"Answer: {retrieved.answer}")
    decision = retrieved.decision
    if tell_confidence and decision is not None:
        event = f"{decision.estimates}" + ("" if decision.calibrated else "; not calibrated")
        parts.append(f"Confidence: {decision.confidence:.2f} ({event})")
    return "\n\n".join(parts), retrieved


def _retrieved(found: Any) -> Retrieved:
    if isinstance(found, Mapping):
        return Retrieved(tuple(found.get("documents", ())), found.get("decision"), found.get("answer"))
    documents: Sequence[Document] = tuple(found)
    kept = next((one.metadata[DECISION] for one in documents if DECISION in one.metadata), None)
    decision = Decision.from_json(kept) if isinstance(kept, Mapping) else kept
    return Retrieved(tuple(documents), decision)
