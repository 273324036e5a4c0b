"""Trained parts are kept with a collection, found again, and go with it when it is compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import QdrantClient
from typing_extensions import Self

from octant import Collection, EmbeddingIdentity, compress
from octant.errors import ArtifactError, InputError, MismatchError
from octant.statistics import Estimate
from octant.trained import Figure, Origin, TrainedPart, TrainingReport

REPORT = TrainingReport("a vector of weights", 30, 10, (Figure("nDCG@10", 0.5, 0.6, Estimate(0.1, 0.05, 0.15)),))


class Weights(TrainedPart):
    """The smallest part there is."""

    kind = "weights"

    def __init__(self, origin: Origin, w: NDArray[np.float32]) -> None:
        super().__init__(origin)
        if w.ndim != 1:
            raise ValueError("weights must be a vector")
        self.w = w

    @property
    def header(self) -> Mapping[str, Any]:
        return {"size": len(self.w)}

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"w": self.w}

    @classmethod
    def restore(cls, origin: Origin, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        if header["size"] != len(arrays["w"]):
            raise ValueError("another size")
        return cls(origin, arrays["w"])


def part(spec: str = "weights", value: float = 1.0, embedding: EmbeddingIdentity | None = None) -> Weights:
    return Weights(Origin(spec, embedding, "", REPORT, {}), np.full(3, value, np.float32))


def filled(name: str, location: Any) -> Collection:
    collection = Collection.create(name, location=location, dimension=8, represent="float32")
    collection.add(vectors=np.random.default_rng(0).normal(size=(40, 8)), ids=range(40))
    return collection


@pytest.fixture(params=["edge", "local"])
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with pytest.warns() if request.param == "local" else _nothing():
        place = str(tmp_path / "store") if request.param == "edge" else QdrantClient(":memory:")
        made = filled("docs", place)
    with made:
        yield made


class _nothing:  # noqa: N801  # a context that does nothing
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_a_part_survives_its_file(tmp_path: Path) -> None:
    part().save(tmp_path / "part")
    again = Weights.load(tmp_path / "part")
    assert again == part()
    assert again.report == REPORT
    assert part().dumps() == part().dumps()
    assert part().digest != part(value=2).digest
    assert str(again.report).splitlines()[1:] == [
        "fitted on 30 queries, validated on 10 others",
        "nDCG@10: 0.5000 before, 0.6000 after, +0.1000 [+0.0500, +0.1500]",
    ]


def test_what_is_attached_is_found_again(collection: Collection) -> None:
    assert collection.attached() == ()
    assert collection.trained(Weights) is None
    entry = collection.attach(part())
    assert (entry.kind, entry.spec, entry.digest) == ("weights", "weights", part().digest)
    assert collection.attached() == (entry,)
    assert collection.trained(Weights) == part()
    assert asyncio.run(collection.atrained(Weights, "weights")) == part()


def test_attaching_again_replaces_and_another_spec_stands_beside(collection: Collection) -> None:
    collection.attach(part())
    collection.attach(part(value=2))
    assert collection.trained(Weights) == part(value=2)
    collection.attach(part("weights(2)"))
    assert [entry.spec for entry in collection.attached()] == ["weights", "weights(2)"]
    assert collection.trained(Weights, "weights(2)") == part("weights(2)")
    with pytest.raises(InputError, match="say which one by its spec"):
        collection.trained(Weights)
    assert collection.detach("weights", "weights(2)") == 1
    assert collection.detach("weights") == 1
    assert collection.detach("weights") == 0
    assert collection.attached() == ()


def test_a_part_for_another_embedding_is_refused(tmp_path: Path) -> None:
    with Collection.create("docs", location=tmp_path, embedding=lambda texts: np.ones((len(texts), 8))) as collection:
        collection.add(["one", "two"])
        with pytest.raises(MismatchError, match=r"trained for theirs \(5 dimensions\); got .* \(8 dimensions"):
            collection.attach(part(embedding=EmbeddingIdentity("theirs", 5)))
        assert collection.attached() == ()


def test_a_collection_knows_itself_again(tmp_path: Path) -> None:
    with filled("docs", tmp_path) as collection:
        first = collection.corpus()
        assert len(first) == 32
    with Collection.open("docs", location=tmp_path) as collection:
        assert collection.corpus() == first
    with filled("others", tmp_path) as other:
        assert other.corpus() != first


def test_a_compressed_copy_inherits_what_was_attached(tmp_path: Path) -> None:
    with filled("docs", tmp_path) as collection:
        collection.attach(part())
        corpus = collection.corpus()
    compress("docs", location=str(tmp_path), into="small", represent="turbo8")
    with Collection.open("small", location=tmp_path) as small:
        assert small.trained(Weights) == part()
        assert small.corpus() == corpus
        assert part().adopted(corpus, REPORT).untried_on(small.corpus()) is None


def test_what_is_attached_to_the_original_is_there_for_its_compressed_twin(tmp_path: Path) -> None:
    with filled("docs", tmp_path) as collection:
        collection.attach(part())
    compress("docs", location=str(tmp_path), in_place=True, represent="turbo8")
    with Collection.open("docs", location=tmp_path, vector_name="octant") as twin:
        assert twin.trained(Weights) == part()


def test_a_draft_can_keep_nothing(tmp_path: Path) -> None:
    with Collection.create("draft", location=tmp_path) as draft:
        for call in (lambda: draft.attach(part()), draft.corpus):
            with pytest.raises(InputError, match="no dimension yet"):
                call()
        assert draft.attached() == ()
        assert draft.detach("weights") == 0


def test_a_part_is_trusted_only_where_validation_says_so() -> None:
    known = part().adopted("here", REPORT)
    assert known.untried_on("here") is None
    assert "neither trained on this collection nor adopted" in str(known.untried_on("there"))
    assert "pass collection=" in str(known.untried_on(None))
    refused = part().adopted("here", TrainingReport("", 1, 1, no_change=True))
    assert "has not shown" in str(refused.untried_on("here"))


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"{}" * 40])
def test_damaged_files_are_refused(damage: Any, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(damage(part().dumps()))
    with pytest.raises(ArtifactError, match="train it again"):
        Weights.load(tmp_path / "part")


def test_files_of_another_kind_and_no_files_are_refused(tmp_path: Path) -> None:
    class Other(Weights):
        kind = "other"

    part().save(tmp_path / "part")
    with pytest.raises(ArtifactError, match=r"format 'octant-other', got one of 'octant-weights'"):
        Other.load(tmp_path / "part")
    with pytest.raises(ArtifactError, match="expected a weights at"):
        Weights.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="cannot be written"):
        part().save(tmp_path / "no" / "folder")


def test_a_file_whose_arrays_do_not_fit_is_refused() -> None:
    class Wrong(Weights):
        @property
        def header(self) -> Mapping[str, Any]:
            return {"size": 9}

    data = Wrong(part().origin, part().w).dumps()
    with pytest.raises(ArtifactError, match="does not hold a whole weights"):
        Weights.loads(data)


def test_a_damaged_note_is_told_of(tmp_path: Path) -> None:
    with filled("docs", tmp_path) as collection:
        from octant.flow import run

        run(collection._core.store.write_state("attachments", {"parts": "?"}))
        with pytest.raises(ArtifactError, match="note on what is attached"):
            collection.attached()
