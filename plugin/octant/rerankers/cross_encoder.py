"""Cross-encoders: a model that reads query and passage together and says how well they match."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from octant.errors import InputError
from octant.flow import Flow, step
from octant.records import Ranking
from octant.rerank_report import ScoreKind
from octant.rerankers.base import Reranker
from octant.rerankers.order import Order
from octant.rerankers.pair_scorers import (
    BACKENDS,
    PRECISIONS,
    Loading,
    Pair,
    PairScorer,
    SentenceTransformersPairs,
    sigmoid,
    softmax_log_odds,
)
from octant.rerankers.run import Run
from octant.rerankers.settings import Settings, whole

_KINDS: dict[str, ScoreKind] = {"probability": "probability", "logit": "logit"}
_BATCHES = 8
"""Batches that are sorted by length together: between such blocks a budget of seconds is looked at."""


class CrossEncoder(Reranker):
    """Scores each passage by a model that reads it together with the query.

    A sentence-transformers model gives logits, one for each of its classes. Their scale is stated: ``probability`` is
    the sigmoid of the one logit there is, or the softmax over several; ``logit`` is the logit of that probability.
    LangChain's cross-encoders and functions do not say what their scores mean: without ``scale`` they are a ``grade``
    on a scale of their own, and with it they are taken for what ``scale`` says.

    Pairs are scored in batches of similar length. A pair that is longer than the model reads is cut by its tokenizer,
    which shortens the passage's end or the query's; the report says how many were.

    Parameters
    ----------
    model : str
        Name or directory of a sentence-transformers cross-encoder. Empty: what was passed as ``cross_encoder=``.
    scale : {"probability", "logit"} or None
        None is ``probability`` for sentence-transformers models.
    precision : {"float32", "bfloat16", "float16", "int8"}
        Of the weights; ``int8`` quantizes linear layers as the model is loaded, for the CPU.
    backend : {"torch", "onnx", "openvino"}
        What runs the model; others than torch need the extra of their name.
    file : str or None
        With ``onnx`` and ``openvino``: which of the model's exported files, e.g. one in int8.
    max_length : int or None
        Tokens of query and passage together; None is what the model says.
    label : int
        Class whose probability counts, of models with several; the last one by default.
    batch_size : int
    device : str or None
        As torch names it; None takes the best there is.
    """

    name: ClassVar[str] = "cross_encoder"
    compares: ClassVar[bool] = False

    def __init__(
        self,
        model: str = "",
        scale: str | None = None,
        precision: str = "float32",
        backend: str = "torch",
        file: str | None = None,
        max_length: int | None = None,
        label: int = -1,
        batch_size: int = 32,
        device: str | None = None,
    ) -> None:
        if not isinstance(model, str):
            raise InputError(f"model must be the name or directory of a cross-encoder, got {model!r}")
        _one_of("scale", scale, (None, *_KINDS))
        _one_of("precision", precision, tuple(PRECISIONS))
        _one_of("backend", backend, ("torch", *BACKENDS))
        if backend != "torch" and precision != "float32":
            raise InputError(
                f"precision is for backend=torch; an export has its own: name the file, e.g. "
                f"file='{backend}/model_qint8_avx512_vnni.{'onnx' if backend == 'onnx' else 'xml'}'"
            )
        if backend == "torch" and file is not None:
            raise InputError("file names an export for backend=onnx or backend=openvino; torch has none")
        if max_length is not None:
            whole("max_length", max_length, least=8)
        if isinstance(label, bool) or not isinstance(label, int):
            raise InputError(f"label must be the number of a class, got {label!r}")
        whole("batch_size", batch_size, least=1)
        self.model, self.scale, self.precision, self.backend, self.file = model, scale, precision, backend, file
        self.max_length, self.label, self.batch_size, self.device = max_length, label, batch_size, device
        self._named = self._of_spec()

    def _of_spec(self) -> PairScorer | None:
        """The model that the spec names, not loaded yet."""
        if self.model:
            loading = Loading(self.model, self.precision, self.backend, self.file, self.max_length, self.device)
            loading.check()
            return SentenceTransformersPairs(loading=loading)
        for option in ("precision", "backend", "file", "max_length", "device"):
            if getattr(self, option) != inspect.signature(type(self)).parameters[option].default:
                raise InputError(f"{option} says how a model is loaded that the spec names: give its name or directory")
        return None

    def _lacks(self, settings: Settings) -> str | None:
        if self._named is None and settings.cross_encoder is None:
            return (
                "scores pairs of query and passage: name a model in the spec, cross_encoder('org/model'), or pass "
                "cross_encoder="
            )
        return super()._lacks(settings)

    def _rerank(self, query: str, ranking: Ranking, run: Run) -> Flow[Order]:
        scorer = self._named or run.cross_encoder
        pairs = [(query, candidate.text or "") for candidate in ranking]
        scores: list[float] = []
        cut, longest = 0, None
        block = self.batch_size * _BATCHES
        for start in range(0, len(pairs), block):
            if run.ended:
                break
            part = pairs[start : start + block]
            found, shortened, longest = yield from step(lambda part=part: self._scored(scorer, part))  # type: ignore[misc]
            scores += found
            cut += shortened
            run.keep(self._order(scores, scorer))
        if cut:
            run.remark(
                f"{cut} of {len(scores)} passages were longer with the query than the {longest} tokens that "
                "the model reads, and were cut"
            )
        run.measure("pairs scored", len(scores))
        return self._order(scores, scorer) if scores else Order.unchanged(len(pairs))

    def _order(self, scores: Sequence[float], scorer: PairScorer) -> Order:
        kind = _KINDS.get(self.scale or "", "probability" if scorer.gives_logits else "grade")
        return Order.by_score(scores, kind)

    def _scored(self, scorer: PairScorer, pairs: Sequence[Pair]) -> tuple[list[float], int, int | None]:
        """Scores of ``pairs`` on the scale, how many of them are longer than the model reads, and what that is."""
        lengths, longest = scorer.lengths(pairs), scorer.longest()
        by_length = sorted(range(len(pairs)), key=lengths.__getitem__, reverse=True)
        found = scorer.scores([pairs[place] for place in by_length], self.batch_size)
        back = np.empty_like(found)
        back[by_length] = found
        cut = 0 if longest is None else sum(length > longest for length in lengths)
        return self._on_scale(back, scorer).tolist(), cut, longest

    def _on_scale(self, found: NDArray[np.float64], scorer: PairScorer) -> NDArray[np.float64]:
        if not scorer.gives_logits:
            if self.scale == "probability" and not ((found >= 0) & (found <= 1)).all():
                raise ValueError(
                    f"{scorer.name} gives scores from {found.min():g} to {found.max():g}, which are no probabilities: "
                    "leave out scale, or use scale=logit"
                )
            return found[:, 0]
        logits = found[:, 0] if found.shape[1] == 1 else softmax_log_odds(found, self._class(found.shape[1], scorer))
        return logits if self.scale == "logit" else sigmoid(logits)

    def _class(self, classes: int, scorer: PairScorer) -> int:
        if not -classes <= self.label < classes:
            raise InputError(f"label must be from {-classes} to {classes - 1} for {scorer.name}, got {self.label}")
        return self.label % classes


def _one_of(name: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        listed = ", ".join(str(word) for word in known if word is not None)
        raise InputError(f"{name} must be one of {listed}; got {value!r}")
