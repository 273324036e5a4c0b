"""Collections with several dense vectors: which one is opened, and what a new document gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octant import Collection
from octant.errors import InputError, MismatchError
from octant.families import choose, foreign, kin, members
from octant.flow import run
from octant.layout import Stages, lay_out
from octant.manifest import Manifest
from octant.records import Distance, SparseVector
from octant.representation import Representation
from octant.schema import CollectionSchema, DenseVector, SparseVectorSchema
from octant.store.edge import EdgeStore

N, DIM = 300, 16
RNG = np.random.default_rng(11)
X = RNG.standard_normal((N, DIM)).astype(np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)
FLOAT = {"size": DIM, "distance": "Cosine"}


def schema(*names: str, manifests: dict[str, Any] | None = None) -> CollectionSchema:
    return CollectionSchema(tuple(DenseVector(name, FLOAT) for name in names), manifests=manifests or {})


@pytest.mark.parametrize(
    ("names", "families", "wanted", "chosen"),
    [
        (("",), (), "", ""),
        (("dense",), (), "", "dense"),
        (("a", "b"), (), "b", "b"),
        (("", "octant"), ("octant",), "", ""),  # somebody else's floats stay what the name means
        (("", "octant"), ("octant",), "octant", "octant"),
        (("coarse", "fine"), ("",), "", ""),
        (("coarse", "fine", "image"), ("",), "", ""),
        (("x.coarse", "x.fine"), ("x",), "", "x"),
        (("", "x.coarse", "x.fine"), ("x",), "", ""),
        ((), (), "", None),
    ],
)
def test_which_vector_a_name_means(names: Any, families: Any, wanted: str, chosen: str | None) -> None:
    assert choose(schema(*names, manifests={name: {} for name in families}), wanted) == chosen


def test_a_copy_made_of_a_vector_leaves_its_name_to_it() -> None:
    copied = schema("dense", "octant", manifests={"octant": {"source": "dense"}})
    assert choose(copied, "") == "dense"
    assert choose(copied, "octant") == "octant"
    assert choose(copied.without({"dense"}), "") == "octant"  # the original was dropped


def test_a_name_that_could_be_several_is_refused() -> None:
    both = schema("dense", "octant", manifests={"octant": {}})
    with pytest.raises(
        MismatchError, match="several dense vectors, 'dense', 'octant': say which one with vector_name="
    ):
        choose(both, "")
    with pytest.raises(MismatchError, match="no dense vector named 'x'; it has 'dense', 'octant'"):
        choose(both, "x")


def test_multivectors_are_nobodys_choice() -> None:
    tokens = DenseVector("tokens", {**FLOAT, "multivector_config": {"comparator": "max_sim"}})
    assert foreign(CollectionSchema((DenseVector("a", FLOAT), tokens))) == ["a"]


def test_who_is_made_of_the_same_embeddings() -> None:
    made = {"small": {"source": ""}, "tiny": {"source": ""}, "other": {}}
    there = replace(
        schema("", "small", "tiny.coarse", "tiny.fine", "other", "image", manifests=made),
        sparse=(SparseVectorSchema("words"), SparseVectorSchema("more")),
    )
    assert members(there, "tiny") == ("tiny.coarse", "tiny.fine")
    opened = Manifest.from_json(json_manifest("small", source=""))
    found = kin(there, opened, "words")
    assert set(found.twins) == {"", "tiny"}
    assert set(found.siblings) == {"other"}
    assert set(found.strangers) == {"image", "more"}


def json_manifest(name: str, represent: str = "turbo8", **changed: Any) -> dict[str, Any]:
    made = {
        "format": 1, "represent": represent, "distance": "Cosine", "dimension": DIM, "embedding": None,
        "artifact": None, "vector_name": name, "text_key": "page_content", "sparse": None, "sparse_name": None,
        "hnsw": {}, "seed": 0, "octant": "0.1.0",
    }  # fmt: skip
    return {**made, **changed}


def live(root: Path, represent: str, *, extra: bool = False) -> None:
    """Somebody else's floats with a representation of Octant's beside them, all vectors written."""
    store = EdgeStore(root, "docs")
    vectors = (DenseVector("", FLOAT), *((DenseVector("image", FLOAT),) if extra else ()))
    run(store.create_like(CollectionSchema(vectors)))
    run(store.close())
    with Collection.open("docs", location=root) as floats:
        if not extra:
            floats.add(vectors=X, ids=range(N))
    run(store.open())
    representation = Representation.parse(represent)
    stages = Stages.of(*representation.needs(DIM, Distance.COSINE), "octant")
    run(store.add_vectors(lay_out(stages).vectors))
    run(store.write_manifest(json_manifest("octant", representation.spec, source="", foreign_ids=True)))
    if not extra:
        codes = [x for x in representation.encode(X) if x is not None]
        names = [stage.name for stage in (stages.coarse, stages.fine) if stage is not None]
        assert run(store.write_vectors(range(N), dict(zip(names, codes, strict=True)))) == []
    run(store.close())


@pytest.mark.parametrize("represent", ["turbo8", "coarse=turbo4; fine=int8"])
@pytest.mark.parametrize("writes", ["", "octant"])
def test_a_document_gets_every_vector_of_its_embedding(tmp_path: Path, represent: str, writes: str) -> None:
    live(tmp_path, represent)
    new = -X[0]
    with Collection.open("docs", location=tmp_path, vector_name=writes) as opened:
        assert opened.info().foreign is (writes == "")
        assert opened.manifest.vector_name == writes
        opened.add(vectors=[new], ids=["1000"])
    for name in ("", "octant"):
        with Collection.open("docs", location=tmp_path, vector_name=name) as opened:
            found = opened.search(new, k=3)
            assert found[0].id == 1000  # "1000" can only be that here
            assert found[0].score == pytest.approx(1.0, abs=0.02)
            assert opened.search(X[5], k=1)[0].id == 5


@pytest.mark.parametrize("writes", ["", "octant"])
def test_a_document_that_would_lack_a_vector_is_refused(tmp_path: Path, writes: str) -> None:
    live(tmp_path, "turbo8", extra=True)
    with Collection.open("docs", location=tmp_path, vector_name=writes) as opened:
        with pytest.raises(InputError, match=r"also has the vectors 'image', which cannot be made .*drop those"):
            opened.add(vectors=X[:1])
        assert opened.count() == 0


def test_a_twin_of_another_width_or_not_fitted_is_refused(tmp_path: Path) -> None:
    live(tmp_path, "turbo8")
    store = EdgeStore(tmp_path, "docs")
    for changed in ({"dimension": 8}, {"represent": "pca(4)|turbo8"}):
        run(store.open())
        run(store.write_manifest(json_manifest("octant", **{"source": "", **changed})))
        run(store.close())
        with (
            Collection.open("docs", location=tmp_path) as opened,
            pytest.raises(InputError, match="'octant' of the collection cannot be made from the embeddings of ''"),
        ):
            opened.add(vectors=X[:1], ids=[5])


def test_somebody_elses_sparse_vectors_are_not_lost_silently(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path, "docs")
    run(store.create_like(replace(schema(""), sparse=(SparseVectorSchema("words", {"modifier": "idf"}),))))
    run(store.close())
    with (
        Collection.open("docs", location=tmp_path) as opened,
        pytest.raises(InputError, match="also has the vectors 'words'"),
    ):
        opened.add(vectors=X[:1])
    with Collection.open("docs", location=tmp_path, sparse="bm25", sparse_name="words") as opened:
        opened.add(["seven foxes"], vectors=X[:1], ids=[7])
        assert opened.search("foxes", k=1, mode="sparse")[0].id == 7
    run(store.open())
    ((point,), _) = run(store.read())
    assert isinstance(point.sparse["words"], SparseVector)
    run(store.close())


def test_manifests_of_earlier_releases_are_read() -> None:
    old = Manifest.from_json(json_manifest(""))
    assert (old.source, old.foreign_ids) == (None, False)
    assert Manifest.from_json(replace(old, source="", foreign_ids=True).to_json()).source == ""
