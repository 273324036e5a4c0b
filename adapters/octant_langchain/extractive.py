"""An answerer without a language model: it quotes the sentences that fit the question best, and says how sure it is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from octant import confidence
from octant_langchain.passages import passages_of, question_of

_SENTENCE = re.compile(r"[^.!?。！？]+(?:[.!?](?=\d|\w)[^.!?。！？]*)*[.!?。！？]*[\"'”)]*\s*")
_WORD = re.compile(r"\w+")
_ASKING = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can did do does for from had has have how i in is it its me my of on or that the "
        "their there this to was were what when where which who whom whose why will with you your",
    )
)
"""Words of a question that say nothing about where its answer stands."""


class ExtractiveChatModel(BaseChatModel):
    """Stands in for a language model: no key, no download, and never a word that is not in the passages.

    It reads prompts as :data:`octant_langchain.passages.ANSWER_PROMPT` makes them: numbered passages and a question.
    Every sentence is scored by the share of the question's words it holds, rare ones counting more, and, with
    ``embed``, by its cosine to the question. The softmax of the scores is the distribution that the quoted sentence
    was chosen from, and is what ``response_metadata["logprobs"]`` gives in OpenAI's form: the answer is one token.

    Attributes
    ----------
    embed : callable or None
        From texts to vectors (n, d), e.g. ``embeddings.embed_documents`` of any LangChain embedding model.
    sentences : int
        Most sentences to quote; further ones need to score nearly as well as the best.
    least : float
        In [0, 1]: where no sentence scores as well, it says that the documents do not say.
    temperature : float
        Of the softmax, above 0.
    """

    embed: Any = Field(default=None, repr=False)
    sentences: int = Field(default=1, ge=1)
    least: float = Field(default=0.2, ge=0, le=1)
    temperature: float = Field(default=0.1, gt=0)

    @property
    @override
    def _llm_type(self) -> str:
        return "octant-extractive"

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        quoted, logprobs = self._quoted(messages, kwargs)
        message = AIMessage("".join(quoted), response_metadata={"model_provider": self._llm_type, **logprobs})
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        quoted, logprobs = self._quoted(messages, kwargs)
        for place, piece in enumerate(quoted):
            metadata = {"model_provider": self._llm_type, **logprobs} if place == 0 else {}
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece, response_metadata=metadata))

    def _quoted(self, messages: Sequence[BaseMessage], asked: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """The pieces of the answer, and its log-probabilities where they were asked for."""
        prompt = str(messages[-1].text)
        question = question_of(prompt)
        found = [
            (place, sentence.strip())
            for place, passage in enumerate(passages_of(prompt), 1)
            for sentence in _SENTENCE.findall(passage)
            if _WORD.search(sentence)
        ]
        scores = self._scores(question, [sentence for _, sentence in found])
        order = np.argsort(-scores, kind="stable")
        if not found or scores[order[0]] < self.least:
            return [confidence.WORDING], {}
        exponents = np.append(scores, self.least) / self.temperature  # the last outcome: no sentence is the answer
        logs = exponents - exponents.max() - math.log(np.exp(exponents - exponents.max()).sum())
        kept = [place for place in order[: self.sentences] if scores[place] >= 0.9 * scores[order[0]]]
        pieces = [f"{found[place][1]} [{found[place][0]}]" for place in kept]
        answer = [piece if turn == 0 else f" {piece}" for turn, piece in enumerate(pieces)]
        if not asked.get("logprobs"):
            return answer, {}
        likeliest = order[: asked.get("top_logprobs", 5)]
        top = [{"token": found[place][1], "logprob": float(logs[place])} for place in likeliest]
        entry = {"token": found[order[0]][1], "logprob": float(logs[order[0]]), "top_logprobs": top}
        return answer, {"logprobs": {"content": [entry]}}

    def _scores(self, question: str, sentences: Sequence[str]) -> NDArray[np.float64]:
        """How well each sentence fits, (n,) in [0, 1]."""
        words = [set(_stems(sentence)) for sentence in sentences]
        often = Counter(word for each in words for word in each)
        wanted = {word: math.log(1 + len(sentences) / (1 + often[word])) for word in set(_stems(question))}
        total = sum(wanted.values()) or 1.0
        shared = np.array([sum(wanted.get(word, 0.0) for word in each) / total for each in words])
        if self.embed is None or not sentences:
            return np.asarray(shared, np.float64)
        vectors = np.asarray(self.embed([question, *sentences]), np.float64)
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return np.asarray((shared + np.clip(unit[1:] @ unit[0], 0, 1)) / 2, np.float64)


def _stems(text: str) -> list[str]:
    """Words without the commonest endings, and without those that only ask; all of them where nothing is left."""
    words = [word.casefold() for word in _WORD.findall(text)]
    kept = [word for word in words if word not in _ASKING] or words
    return [re.sub(r"(?<=\w{3})(?:ies|es|s|ing|ed)$", "", word) for word in kept]
