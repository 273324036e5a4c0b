"""Every kind of source becomes an embedder with the same manners."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from octant import hub
from octant.embedders import Embedder, LangChainEmbedder, embedder
from octant.flow import arun, run
from octant.hub import MINILM
from octant.identity import PROBE_TOLERANCE, complete, probe_of, same_model
from octant.records import EmbeddingIdentity

TEXTS = ["the octopus has three hearts", "a compass points north", "bread rises while it rests"]


class Counting(Embeddings):
    """Vectors of letter counts; remembers what it was asked, and by which method."""

    model = "letters-26"

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(("embed_documents", texts))
        return [self._letters(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.calls.append(("embed_query", text))
        return self._letters(text)

    @staticmethod
    def _letters(text: str) -> list[float]:
        return [float(text.count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]


class NativelyAsync(Counting):
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(("aembed_documents", texts))
        return [self._letters(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        self.calls.append(("aembed_query", text))
        return self._letters(text)


@pytest.fixture(params=["name", "path", "object", "langchain", "callable"])
def source(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "name":
        yield MINILM
    elif request.param == "path":
        yield request.getfixturevalue("minilm_path")
    elif request.param == "object":
        yield request.getfixturevalue("minilm")
    elif request.param == "langchain":
        yield DeterministicFakeEmbedding(size=12)
    else:
        yield Counting().embed_documents


def test_every_source_gives_one_finite_row_a_text(source: Any) -> None:
    model = embedder(source)
    documents = run(model.embed_documents(TEXTS))
    queries = run(model.embed_queries(TEXTS[:2]))
    assert documents.dtype == queries.dtype == np.float32
    assert documents.shape == (3, model.identity.dimension)
    assert queries.shape == (2, model.identity.dimension)
    assert np.isfinite(documents).all()


async def test_async_gives_what_sync_gives(source: Any) -> None:
    model = embedder(source)
    np.testing.assert_allclose(await arun(model.embed_documents(TEXTS)), run(model.embed_documents(TEXTS)), atol=1e-6)
    np.testing.assert_allclose(await arun(model.embed_queries(TEXTS)), run(model.embed_queries(TEXTS)), atol=1e-6)


def test_an_embedder_is_returned_as_it_is() -> None:
    model = embedder(Counting())
    assert embedder(model) is model
    assert embedder(model, name="Counting:letters-26") is model
    assert embedder(None) is None


# -- sentence-transformers -----------------------------------------------------------------------


def test_the_named_model_the_path_and_the_object_are_one_model(minilm: Any, minilm_path: str) -> None:
    named, placed, given = embedder("all-MiniLM-L6-v2"), embedder(minilm_path), embedder(minilm)
    assert named.identity.name == MINILM
    assert placed.identity.name == minilm_path
    assert named.identity.probe == placed.identity.probe == given.identity.probe
    assert same_model(named.identity, placed.identity) is None
    np.testing.assert_allclose(
        run(named.embed_documents(TEXTS)), minilm.encode(TEXTS, show_progress_bar=False), atol=1e-5
    )


def test_the_probe_of_minilm_is_the_one_on_record(minilm: Any) -> None:
    recorded = EmbeddingIdentity(MINILM, 384, True, "b64dae639430a85ec7edd8dbdfb7be96")
    assert same_model(embedder(minilm).identity, recorded) is None


def test_nothing_is_loaded_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octant.embedders.load_model", lambda name: pytest.fail("loaded too early"))
    assert embedder(MINILM).name == MINILM


class Prompted:
    """What sentence-transformers 5 and later offer: one method for each side."""

    def get_sentence_embedding_dimension(self) -> int:
        return 2

    def encode(self, texts: list[str], prompt_name: str | None = None, **options: Any) -> np.ndarray:
        self.seen = prompt_name
        return np.ones((len(texts), 2), np.float32)


class PromptedByMethod(Prompted):
    def encode_query(self, texts: list[str], **options: Any) -> np.ndarray:
        return np.full((len(texts), 2), 3, np.float32)

    def encode_document(self, texts: list[str], **options: Any) -> np.ndarray:
        return np.full((len(texts), 2), 5, np.float32)


def test_queries_go_through_the_models_query_side() -> None:
    model = embedder(PromptedByMethod())
    assert run(model.embed_queries(["x"])).tolist() == [[3, 3]]
    assert run(model.embed_documents(["x"])).tolist() == [[5, 5]]


@pytest.mark.parametrize(("prompts", "seen"), [({"query": "q: "}, "query"), ({}, None)])
def test_older_models_get_the_prompt_by_name_if_they_have_it(prompts: dict[str, str], seen: str | None) -> None:
    old = Prompted()
    old.prompts = prompts  # type: ignore[attr-defined]
    run(embedder(old).embed_queries(["x"]))
    assert old.seen == seen


def test_one_model_is_never_used_by_two_threads_at_once() -> None:
    inside, worst = 0, 0

    class Slow(Prompted):
        def encode(self, texts: list[str], prompt_name: str | None = None, **options: Any) -> np.ndarray:
            nonlocal inside, worst
            inside += 1
            worst = max(worst, inside)
            threading.Event().wait(0.01)
            inside -= 1
            return np.ones((len(texts), 2), np.float32)

    model = embedder(Slow())
    threads = [threading.Thread(target=lambda: run(model.embed_documents(["x"]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == 1


# -- the bundled model ---------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What sentence-transformers is asked to load, in place of loading it."""
    import sentence_transformers

    calls: list[tuple[str, dict[str, Any]]] = []

    def load(name: str, **options: Any) -> str:
        calls.append((name, options))
        if name in unloadable:
            raise OSError("no such model")
        return name

    unloadable: set[str] = set()
    load.unloadable = unloadable  # type: ignore[attr-defined]
    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", load)
    monkeypatch.setattr(hub, "is_cached", lambda name: False)
    monkeypatch.setattr(hub, "hub_answers", lambda name: True)
    return calls


def test_the_hub_comes_before_the_bundle(loaded: list[Any]) -> None:
    assert hub.load_model(MINILM) == MINILM
    assert loaded == [(MINILM, {})]


def test_the_cache_comes_before_the_hub(loaded: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_cached", lambda name: True)
    monkeypatch.setattr(hub, "hub_answers", lambda name: pytest.fail("asked the hub for a cached model"))
    hub.load_model("some/model")
    assert loaded == [("some/model", {"local_files_only": True})]


def test_the_bundle_answers_when_the_hub_is_silent(
    loaded: list[Any], monkeypatch: pytest.MonkeyPatch, minilm_path: str
) -> None:
    monkeypatch.setattr(hub, "hub_answers", lambda name: False)
    assert hub.load_model(MINILM) == minilm_path
    assert loaded == [(minilm_path, {"local_files_only": True})]


def test_the_bundle_answers_when_the_download_fails(
    loaded: list[Any], monkeypatch: pytest.MonkeyPatch, minilm_path: str
) -> None:
    import sentence_transformers

    sentence_transformers.SentenceTransformer.unloadable.add(MINILM)
    assert hub.load_model(MINILM) == minilm_path


def test_an_offline_machine_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: never.wait(600))
    assert hub.hub_answers(MINILM, seconds=0.05) is False
    never.set()


def test_an_error_page_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        error = OSError("404")
        error.response = object()  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
    assert hub.hub_answers("some/typo") is True


def test_no_connection_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
    assert hub.hub_answers(MINILM) is False


# -- LangChain -----------------------------------------------------------------------------------


def test_langchain_is_never_asked_for_a_dummy_text() -> None:
    source = Counting()
    model = embedder(source)
    assert model.identity == EmbeddingIdentity("Counting:letters-26")
    assert source.calls == []
    run(model.embed_documents(TEXTS))
    assert source.calls == [("embed_documents", TEXTS)]
    assert model.identity == EmbeddingIdentity("Counting:letters-26", 26, normalized=False)


async def test_own_async_methods_are_awaited() -> None:
    source = NativelyAsync()
    model = embedder(source)
    await arun(model.embed_documents(TEXTS))
    queries = await arun(model.embed_queries(TEXTS))
    assert [name for name, _ in source.calls] == ["aembed_documents", *["aembed_query"] * 3]
    np.testing.assert_array_equal(queries, run(model.embed_queries(TEXTS)))


async def test_langchains_default_async_is_passed_by() -> None:
    source = Counting()
    await arun(embedder(source).embed_queries(TEXTS))
    assert [name for name, _ in source.calls] == ["embed_query"] * 3


def test_a_name_given_by_the_caller_wins() -> None:
    assert embedder(Counting(), name="mine").identity.name == "mine"


def test_a_cache_in_front_is_looked_through() -> None:
    class Cached(Counting):
        model = ""
        underlying_embeddings = Counting()

    assert embedder(Cached()).name == "Counting:letters-26"


def test_langchain_is_recognised_without_its_base_class() -> None:
    class Alike:
        embed_documents = staticmethod(Counting().embed_documents)
        embed_query = staticmethod(Counting().embed_query)

    assert isinstance(embedder(Alike()), LangChainEmbedder)


# -- callables and identity ----------------------------------------------------------------------


def test_a_callable_is_probed_once() -> None:
    source = Counting()
    model = embedder(source.embed_documents)
    first = model.identity
    assert model.identity == first
    assert len(source.calls) == 1
    assert first.dimension == 26
    assert first.probe is not None


def test_a_torch_tensor_is_as_good_as_an_array() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra [models]")
    model = embedder(lambda texts: torch.ones(len(texts), 4, requires_grad=True))
    assert run(model.embed_documents(TEXTS)).shape == (3, 4)


def test_a_subclass_needs_one_method() -> None:
    class Ones(Embedder):
        def _documents(self, texts: list[str]) -> Any:
            from octant.flow import Step

            return Step(lambda: np.ones((len(texts), 3)))

    model = embedder(Ones("ones"))
    assert run(model.embed_queries(["x"])).tolist() == [[1, 1, 1]]
    assert model.identity.dimension == 3


def test_the_probe_is_blind_to_noise_and_sees_another_model() -> None:
    rng = np.random.default_rng(0)
    vector = rng.standard_normal(384).astype(np.float32)
    mine = EmbeddingIdentity("a", 384, None, probe_of(vector))
    half_precision = EmbeddingIdentity("b", 384, None, probe_of(vector.astype(np.float16).astype(np.float32)))
    other = EmbeddingIdentity("a", 384, None, probe_of(rng.standard_normal(384).astype(np.float32)))
    assert same_model(mine, half_precision) is None
    assert "probe bits differ" in str(same_model(mine, other))


def test_the_probe_estimates_the_angle() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal(256)
    right_angle = rng.standard_normal(256)
    right_angle -= a * (a @ right_angle) / (a @ a)
    differing = (
        int(probe_of(a.astype(np.float32)), 16) ^ int(probe_of(right_angle.astype(np.float32)), 16)
    ).bit_count()
    assert abs(differing - 64) < 24
    assert differing > PROBE_TOLERANCE


def test_the_probe_does_not_depend_on_the_machine() -> None:
    assert probe_of(np.arange(1, 9, dtype=np.float32)) == "552ad3a94e7d4a6f6d305fab0ac7a4d1"


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (EmbeddingIdentity("m", 384), EmbeddingIdentity("m", 768), "384 coordinates, the other 768"),
        (EmbeddingIdentity("m", 8, True), EmbeddingIdentity("m", 8, False), "unit length"),
        (EmbeddingIdentity("m"), EmbeddingIdentity("n"), "one is called 'm', the other 'n'"),
        (EmbeddingIdentity("OpenAIEmbeddings:a"), EmbeddingIdentity("OpenAIEmbeddings:b"), "is called"),
        (EmbeddingIdentity("OpenAIEmbeddings"), EmbeddingIdentity("CohereEmbeddings"), "is called"),
    ],
)
def test_differences_are_named(a: EmbeddingIdentity, b: EmbeddingIdentity, reason: str) -> None:
    assert reason in str(same_model(a, b))
    assert reason.split(",")[0].split(" ")[0] in str(same_model(b, a))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (EmbeddingIdentity("m"), EmbeddingIdentity("m", 384, True, "ab" * 16)),
        (EmbeddingIdentity("HuggingFaceEmbeddings:x/y"), EmbeddingIdentity("x/y", 384, True, "ab" * 16)),
        (EmbeddingIdentity("AzureOpenAIEmbeddings:small"), EmbeddingIdentity("OpenAIEmbeddings:small", 1536)),
        (EmbeddingIdentity("OllamaEmbeddings:nomic:latest"), EmbeddingIdentity("nomic:latest")),
        (EmbeddingIdentity("a", 8, True, "ab" * 16), EmbeddingIdentity("/moved/to", 8, True, "ab" * 16)),
    ],
)
def test_one_model_under_two_records(a: EmbeddingIdentity, b: EmbeddingIdentity) -> None:
    assert same_model(a, b) is None
    assert same_model(b, a) is None


def test_complete_fills_only_what_is_missing() -> None:
    unit = np.eye(4, dtype=np.float32)
    assert complete(EmbeddingIdentity("m"), unit) == EmbeddingIdentity("m", 4, normalized=True)
    assert complete(EmbeddingIdentity("m", 4, False), unit).normalized is False
