"""What an embedder refuses, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from octant import hub
from octant.embedders import embedder
from octant.errors import DimensionError, InputError, MissingExtraError, VectorValueError
from octant.flow import run


def counts(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one string", "expected a list of texts, got one string"),
        ([], "expected at least one text, got none"),
        (["fine", 7], "texts must be strings; number 1 is of type int"),
        ([b"bytes"], "number 0 is of type bytes"),
    ],
)
def test_texts_are_a_list_of_strings(texts: Any, message: str) -> None:
    for method in ("embed_documents", "embed_queries"):
        with pytest.raises(InputError, match=message):
            run(getattr(embedder(counts), method)(texts))


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda n: np.ones((n + 1, 2)), InputError, "expected 3 vectors from bad, one a text; got 4"),
        (lambda n: np.ones(3), InputError, "expected 3 vectors from bad, one a text; got 1"),
        (lambda n: np.full((n, 2), np.nan), VectorValueError, "vectors from bad must be finite"),
        (lambda n: [[1.0, 2.0], [1.0], [2.0]], VectorValueError, "vectors from bad must"),
        (lambda n: [["a", "b"]] * n, VectorValueError, "vectors from bad must be numbers"),
    ],
)
def test_what_the_model_gives_is_checked(answer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(embedder(lambda texts: answer(len(texts)), name="bad").embed_documents(["a", "b", "c"]))


def test_a_model_must_not_change_its_width() -> None:
    model = embedder(lambda texts: np.ones((len(texts), len(texts[0]))), name="wobbly")
    run(model.embed_documents(["abc"]))
    with pytest.raises(DimensionError, match="expected vectors from wobbly of 3 coordinates, got 4"):
        run(model.embed_documents(["abcd"]))


@pytest.mark.parametrize("source", [3, object(), dict, {"model": "x"}])
def test_not_an_embedding(source: Any) -> None:
    with pytest.raises(InputError, match="embedding must be a model name or path, a LangChain Embeddings"):
        embedder(source)


def test_an_empty_name() -> None:
    with pytest.raises(InputError, match="name or path of an embedding model, got an empty string"):
        embedder(" ")


def test_an_embedder_keeps_its_name() -> None:
    with pytest.raises(InputError, match="this embedder is called 'a': give the name 'b' when making it"):
        embedder(embedder(counts, name="a"), name="b")


def test_the_extra_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'qdrant-octant\[models\]'"):
        embedder("sentence-transformers/all-MiniLM-L6-v2")


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/model", "~/nothing-here", "a/b/c"])
def test_a_missing_path_is_not_looked_up_on_the_hub(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hub_answers", lambda name: pytest.fail("asked the hub for a path"))
    with pytest.raises(InputError, match="there is no model directory at"):
        embedder(path).identity  # noqa: B018


def test_no_other_model_is_ever_substituted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hub_answers", lambda name: False)
    with pytest.raises(InputError, match="'sentence-transformers/all-MiniLM-L12-v2' is not in the local cache"):
        embedder("sentence-transformers/all-MiniLM-L12-v2").identity  # noqa: B018


def test_a_model_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import sentence_transformers

    def refuse(name: str, **options: Any) -> None:
        raise OSError("is not a valid model identifier")

    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", refuse)
    monkeypatch.setattr(hub, "hub_answers", lambda name: True)
    with pytest.raises(
        InputError, match="cannot load the embedding model 'some/typo': is not a valid model identifier"
    ):
        embedder("some/typo").identity  # noqa: B018


def test_the_sources_own_errors_come_through() -> None:
    def rate_limited(texts: list[str]) -> Any:
        raise TimeoutError("slow down")

    with pytest.raises(TimeoutError, match="slow down"):
        run(embedder(rate_limited).embed_documents(["x"]))
