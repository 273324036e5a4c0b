"""What scores pairs of a query and a passage: sentence-transformers' cross-encoders, LangChain's, or a function.

Each gives numbers and says what they are: logits of its classes, or scores on a scale of its own.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from octant.errors import InputError, MissingExtraError
from octant.hub import hub_answers, is_cached, looks_like_path

Pair: TypeAlias = tuple[str, str]
"""A query and a passage."""

PRECISIONS = {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16", "int8": "float32"}
"""Precision to the data type that weights are loaded in; int8 is made of float32."""
BACKENDS: dict[str, tuple[str, str]] = {"onnx": ("onnxruntime", "onnx"), "openvino": ("openvino", "openvino")}
"""Backend to the module that it needs, and the extra of Octant that brings it."""


class PairScorer(ABC):
    """One face for everything that scores pairs.

    Attributes
    ----------
    name : str
        For the report.
    gives_logits : bool
        Whether :meth:`scores` are logits of classes, (n, classes); otherwise (n, 1) on a scale of its own.
    """

    name: str
    gives_logits: bool = False

    @abstractmethod
    def scores(self, pairs: Sequence[Pair], batch_size: int) -> NDArray[np.float64]:
        """Scores of ``pairs``, (n, classes) or (n, 1); higher is more relevant where there is one column."""

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """What each pair costs, to sort by: tokens, or characters where there is no tokenizer."""
        return [len(query) + len(passage) for query, passage in pairs]

    def longest(self) -> int | None:
        """The most tokens of a pair that are read; None where that is unknown."""
        return None


@dataclass(frozen=True)
class Loading:
    """How a sentence-transformers cross-encoder is loaded.

    Attributes
    ----------
    model : str
        Name or directory.
    precision : {"float32", "bfloat16", "float16", "int8"}
    backend : {"torch", "onnx", "openvino"}
    file : str or None
        Which of several exported files of the model to take, e.g. ``"onnx/model_qint8_avx512_vnni.onnx"``.
    max_length : int or None
        Tokens of a pair; None is what the model says.
    device : str or None
    """

    model: str
    precision: str = "float32"
    backend: str = "torch"
    file: str | None = None
    max_length: int | None = None
    device: str | None = None

    def check(self) -> None:
        """Refuse what cannot be loaded, without loading anything.

        Raises
        ------
        InputError
            If the options contradict each other, or the directory is not there.
        MissingExtraError
            If a library is not installed.
        """
        what = f"the cross-encoder {self.model!r}"
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError(what, module="sentence_transformers", extra="models")
        if self.backend in BACKENDS:
            for module in ("optimum", BACKENDS[self.backend][0]):
                if find_spec(module) is None:
                    raise MissingExtraError(f"backend={self.backend}", module=module, extra=BACKENDS[self.backend][1])
        if looks_like_path(self.model) and not Path(self.model).expanduser().is_dir():
            raise InputError(
                f"model: there is no directory at {self.model!r}; give one that holds a cross-encoder, or a hub name"
            )


class SentenceTransformersPairs(PairScorer):
    """A ``sentence_transformers.CrossEncoder``, given or to be loaded when it is first used."""

    gives_logits = True

    def __init__(self, source: Any = None, loading: Loading | None = None) -> None:
        self._model, self._loading = source, loading
        self.name = loading.model if loading is not None else _loaded_name(source)
        # Tokenizers cannot be borrowed by two threads at once, and one model saturates the cores anyway.
        self._using = threading.Lock()

    @override
    def scores(self, pairs: Sequence[Pair], batch_size: int) -> NDArray[np.float64]:
        from torch.nn import Identity

        with self._using:
            found = self._loaded().predict(
                list(map(list, pairs)), batch_size=batch_size, activation_fn=Identity(), show_progress_bar=False
            )
        return as_columns(found, len(pairs), self.name)

    @override
    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        with self._using:
            tokenizer = self._loaded().tokenizer
            queries, passages = map(list, zip(*pairs, strict=True))
            # Counting is what this is for: the tokenizer need not warn of texts that the model will cut.
            counted = tokenizer(queries, passages, truncation=False, return_attention_mask=False, verbose=False)
        return [len(ids) for ids in counted["input_ids"]]

    @override
    def longest(self) -> int | None:
        with self._using:
            model = self._loaded()
            for holder, name in ((model, "max_seq_length"), (model.tokenizer, "model_max_length")):
                limit = getattr(holder, name, None)
                if isinstance(limit, int) and 0 < limit < 10**9:  # tokenizers without a limit say 10^30
                    return limit
        return None

    def _loaded(self) -> Any:
        if self._model is None and self._loading is not None:
            self._model = load(self._loading)
        return self._model


class ForeignPairs(PairScorer):
    """LangChain's ``BaseCrossEncoder``, or any function from a list of pairs to as many numbers."""

    def __init__(self, score: Callable[[list[Pair]], Any], name: str) -> None:
        self._score, self.name = score, name

    @override
    def scores(self, pairs: Sequence[Pair], batch_size: int) -> NDArray[np.float64]:
        found: list[Any] = []
        for start in range(0, len(pairs), batch_size):
            part = list(pairs[start : start + batch_size])
            given = self._score(part)
            # LangChain's signature allows a bare number for one pair.
            found += [given] if len(part) == 1 and np.ndim(given) == 0 else list(given)
        columns = as_columns(found, len(pairs), self.name)
        if columns.shape[1] != 1:
            raise ValueError(f"{self.name} should give one score for each pair, got {columns.shape[1]}")
        return columns


def pair_scorer(source: object) -> PairScorer:
    """The scorer of what the caller passed as ``cross_encoder``.

    Parameters
    ----------
    source : object
        A ``sentence_transformers.CrossEncoder`` or the name or directory of one, an object with LangChain's
        ``score(pairs)``, or a function from a list of (query, passage) to as many numbers.

    Raises
    ------
    InputError
        If it is none of these.
    MissingExtraError
        If a model is named and sentence-transformers is not installed.
    """
    if isinstance(source, PairScorer):
        return source
    if isinstance(source, str):
        loading = Loading(source)
        loading.check()
        return SentenceTransformersPairs(loading=loading)
    if callable(getattr(source, "predict", None)) and hasattr(source, "tokenizer"):
        return SentenceTransformersPairs(source)
    score = getattr(source, "score", None)
    if callable(score) and not isinstance(source, type):
        return ForeignPairs(score, _served_name(source))
    if callable(source) and not isinstance(source, type):
        return ForeignPairs(source, getattr(source, "__name__", type(source).__name__))
    raise InputError(
        "cross_encoder must be a sentence_transformers.CrossEncoder or its name or directory, a LangChain "
        f"BaseCrossEncoder, or a function from a list of (query, passage) to numbers; got {source!r}"
    )


def load(loading: Loading) -> Any:
    """The cross-encoder of ``loading``: a directory, else the local cache, else the hub.

    Raises
    ------
    InputError
        If it is nowhere to be found, or is no cross-encoder.
    """
    from sentence_transformers import CrossEncoder

    path = Path(loading.model).expanduser()
    local = path.is_dir() or is_cached(loading.model, "config.json")
    if not local and not hub_answers(loading.model):
        raise InputError(
            f"the cross-encoder {loading.model!r} is not in the local cache and the model hub is out of reach: "
            "check the network (and HF_HUB_OFFLINE), or give the directory of a downloaded model"
        )
    options: dict[str, Any] = {"model_kwargs": _model_options(loading), "local_files_only": local}
    for name in ("device", "max_length"):
        if getattr(loading, name) is not None:
            options[name] = getattr(loading, name)
    try:
        model = CrossEncoder(str(path) if path.is_dir() else loading.model, backend=loading.backend, **options)
    except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:  # versions that do not fit, too
        raise InputError(
            f"cannot load the cross-encoder {loading.model!r} with backend={loading.backend}: {error}"
        ) from error
    return _in_int8(model) if loading.precision == "int8" else model


def as_columns(scores: Any, count: int, name: str) -> NDArray[np.float64]:
    """Finite scores (n, columns) of ``count`` pairs.

    Raises
    ------
    ValueError
        If there are more or fewer, or any is NaN or infinite: such scores cannot be compared.
    """
    values = np.asarray(scores, np.float64)
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim != 2 or len(columns) != count or not columns.size:
        raise ValueError(f"{name} should give scores for {count} pairs, got an array of shape {values.shape}")
    wrong = np.flatnonzero(~np.isfinite(columns).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"{name} gave {len(wrong)} of {count} pairs a score that is NaN or infinite, first {columns[wrong[0]]}: "
            "a model in half precision may overflow, try precision=float32"
        )
    return columns


def _model_options(loading: Loading) -> dict[str, Any]:
    if loading.backend != "torch":
        return {} if loading.file is None else {"file_name": loading.file}
    import torch
    import transformers

    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    name = "dtype" if version >= (4, 56) else "torch_dtype"
    return {name: getattr(torch, PRECISIONS[loading.precision])}


def _in_int8(model: Any) -> Any:
    """``model`` with the weights of its linear layers in int8, activations quantized as they come; on the CPU.

    Raises
    ------
    InputError
        If this torch cannot.
    """
    import warnings

    import torch

    quantize = getattr(getattr(torch.ao, "quantization", None), "quantize_dynamic", None)
    if quantize is None:
        raise InputError(f"torch {torch.__version__} makes no int8: take backend=onnx and an int8 file of the model")
    model.to("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces a successor of this function that is another package
        quantize(model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    return model


def _loaded_name(model: Any) -> str:
    config = getattr(model, "config", None)
    return getattr(config, "_name_or_path", "") or type(model).__name__


def _served_name(source: object) -> str:
    for attribute in ("model_name", "model", "model_id", "endpoint_name"):
        value = getattr(source, attribute, None)
        if isinstance(value, str) and value:
            return f"{type(source).__name__}:{value}"
    return type(source).__name__


def softmax_log_odds(logits: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    """Logit (n,) of the softmax probability of ``column`` among the ``logits`` (n, classes) of at least two classes.

    Examples
    --------
    >>> softmax_log_odds(np.array([[1.0, 3.0]]), 1)
    array([2.])
    """
    others = np.delete(logits, column, axis=1)
    highest = others.max(axis=1)
    log_sum = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
    odds: NDArray[np.float64] = logits[:, column] - log_sum
    return odds


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability (n,) of each logit, without overflow.

    Examples
    --------
    >>> sigmoid(np.array([-1e4, 0.0, 1e4]))
    array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(logits))
    chances: NDArray[np.float64] = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return chances
