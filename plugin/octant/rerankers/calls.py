"""One question to a language model: slots, time limits, retries, budgets, and what it cost."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Awaitable, Callable
from typing import Any

from octant.errors import InputError, MissingExtraError, told
from octant.flow import Flow, step
from octant.rerankers.exchange import Answer, Prompt
from octant.rerankers.failures import passes, refuses, wait_s
from octant.rerankers.ledger import Ledger
from octant.rerankers.model import Model, bytes_over_four, estimated_usage, read
from octant.rerankers.settings import Settings
from octant.threads import awaited_within, in_thread, within


class Caller:
    """Sends prompts to the model of one reranking.

    Parameters
    ----------
    model : Model
    settings : Settings
    ledger : Ledger
        Where calls are accounted for.
    """

    def __init__(self, model: Model, settings: Settings, ledger: Ledger) -> None:
        self._model, self._settings, self._ledger = model, settings, ledger
        self._context = contextvars.copy_context()  # tracing and callbacks of the caller, for the threads

    def ask(self, prompt: Prompt) -> Flow[Answer]:
        """The model's answer, or one with ``failure``.

        Raises
        ------
        InputError, MissingExtraError
            If the model cannot be asked at all.
        """
        failures, refusal = 0, None
        while True:
            plain = refusal is not None or _extra(prompt) in self._ledger.refused
            tokens = estimated_usage(prompt, "", self.count_tokens).input_tokens
            ended = self._ledger.reserve(tokens)
            if ended:
                return Answer(failure=ended)
            try:
                answer = yield from self._answer(prompt, plain=plain)
            except (InputError, MissingExtraError):
                raise
            except Exception as error:  # noqa: BLE001  # whatever a model raises must not lose a document
                self._ledger.settle(tokens, None)
                if _extra(prompt) and not plain and refuses(error) and not self._ledger.ended:
                    refusal = self._refused(error)
                    continue
                if not (yield from self._again(error, failures)):
                    return self._failed(error)
                failures += 1
            else:
                self._ledger.settle(tokens, answer.usage)
                self._learn(prompt, refusal)
                return answer

    @property
    def count_tokens(self) -> Callable[[str], int]:
        """The caller's counter of tokens, or the estimate."""
        return self._settings.count_tokens or bytes_over_four

    def _answer(self, prompt: Prompt, *, plain: bool) -> Flow[Answer]:
        response = yield from step(lambda: self._call(prompt, plain), lambda: self._acall(prompt, plain))
        return read(response, prompt, self.count_tokens)

    def _call(self, prompt: Prompt, plain: bool) -> Any:
        context = self._context.copy()  # one context runs in one thread at a time
        with self._settings.slots.held(self._ledger.remaining()):
            return within(lambda: context.run(self._model.call, prompt, plain=plain), self._patience())

    async def _acall(self, prompt: Prompt, plain: bool) -> Any:
        native = self._model.acall(prompt, plain=plain)

        async def threaded() -> Any:
            return await in_thread(lambda: self._model.call(prompt, plain=plain))

        call: Callable[[], Awaitable[Any]] = native or threaded

        async def in_slot() -> Any:
            async with self._settings.slots.awaited():
                return await awaited_within(call, self._patience())

        return await awaited_within(in_slot, self._ledger.remaining())

    def _patience(self) -> float | None:
        limits = [limit for limit in (self._settings.timeout, self._ledger.remaining()) if limit is not None]
        return min(limits, default=None)

    # -- failures ------------------------------------------------------------------------------

    def _again(self, error: Exception, failures: int) -> Flow[bool]:
        """Whether to send a prompt again, after having waited as long as that needs."""
        if self._ledger.ended or not passes(error) or failures >= self._settings.retries:
            return False
        self._ledger.add(retries=1)
        yield from self._wait(wait_s(error, failures, self._settings.backoff))
        return True

    def _refused(self, error: Exception) -> str:
        """How to tell that the model may not take what a prompt wants beside text."""
        if isinstance(error, NotImplementedError | AttributeError):
            self._ledger.refund()  # nothing was sent
            return "the model takes none"
        return f"the model refused it: {told(error)}"

    def _learn(self, prompt: Prompt, refusal: str | None) -> None:
        """Where asking for text alone helped, ask the questions to come like that."""
        wanted = _extra(prompt)
        if wanted is not None and refusal is not None:
            self._ledger.refused.add(wanted)
            self._ledger.remark(f"asked without {wanted}: {refusal}")

    def _wait(self, seconds: float) -> Flow[None]:
        left = self._ledger.remaining()
        if left is not None and seconds >= left:
            self._ledger.end_seconds()
            return
        yield from step(lambda: time.sleep(seconds), lambda: _sleep(seconds))

    def _failed(self, error: Exception) -> Answer:
        if self._ledger.ended_early:  # the call was given up, or would have been sent again
            return Answer(failure=self._ledger.ended_early)
        self._ledger.fail(error, last=self._settings.on_failure == "raise")
        return Answer(failure=told(error))


def _extra(prompt: Prompt) -> str | None:
    if prompt.schema:
        return "a schema"
    return "log-probabilities" if prompt.logprobs else None


async def _sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)
