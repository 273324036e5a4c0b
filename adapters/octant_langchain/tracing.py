"""What LangChain's callbacks and tracers see: reports of rerankings, decisions, and the calls under a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManager,
    CallbackManager,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.runnables.config import var_child_runnable_config

from octant import Decision, RerankReport
from octant_langchain.tool import DECISION

EVENT = "octant_rerank"
"""Name of the custom event, and key of the run's metadata, that carries the report."""


@contextmanager
def parent_of_calls(callbacks: BaseCallbackManager) -> Iterator[None]:
    """Model calls within are children of the run that ``callbacks`` belongs to, in whatever thread they are made."""
    token = var_child_runnable_config.set({"callbacks": callbacks})
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def tell(report: RerankReport | None, run: BaseRunManager, callbacks: CallbackManager) -> None:
    """Put ``report`` into the metadata of ``run``, and send it to the handlers as the event ``octant_rerank``."""
    if report is not None:
        data = _noted(report, run)
        dispatch_custom_event(EVENT, data, config={"callbacks": callbacks})


async def atell(report: RerankReport | None, run: BaseRunManager, callbacks: AsyncCallbackManager) -> None:
    """Awaited twin of :func:`tell`."""
    if report is not None:
        data = _noted(report, run)
        await adispatch_custom_event(EVENT, data, config={"callbacks": callbacks})


def tell_choice(decision: Decision, run: BaseRunManager, callbacks: CallbackManager) -> None:
    """Put ``decision`` into the metadata of ``run``, and send it to the handlers as the event ``octant_decision``."""
    run.metadata[DECISION] = decision.as_json()
    dispatch_custom_event(DECISION, run.metadata[DECISION], config={"callbacks": callbacks})


async def atell_choice(decision: Decision, run: BaseRunManager, callbacks: AsyncCallbackManager) -> None:
    """Awaited twin of :func:`tell_choice`."""
    run.metadata[DECISION] = decision.as_json()
    await adispatch_custom_event(DECISION, run.metadata[DECISION], config={"callbacks": callbacks})


def _noted(report: RerankReport, run: BaseRunManager) -> dict[str, Any]:
    data = report.as_dict()
    # Tracers keep the mapping that the run began with, and send it again when the run ends.
    run.metadata[EVENT] = data
    return data
