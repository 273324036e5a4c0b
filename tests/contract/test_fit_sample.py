"""What a fit looks at: a drawn sample, of memory maps too, and what the report says of it."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

import octant.vectors
from octant import Collection
from octant.errors import VectorValueError
from octant.quantizers.chain import Chain
from octant.quantizers.native import Float32, Turbo4
from octant.quantizers.reduce import PCA
from octant.representation import Representation
from octant.vectors import as_rows, drawn


class Modest(PCA):
    """Learns from no more than 100 vectors."""

    sample_size = 100
    seen = 0

    def _fit(self, x, queries, rng):
        type(self).seen = len(x)
        return super()._fit(x, queries, rng)


class Curious(Float32):
    name = "curious"
    state_names = ("mean",)
    weighs_queries = True

    def _fit(self, x, queries, rng):
        return {"mean": (x if queries is None else queries).mean(0)}


def vectors(n=500, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def on_disk(path, x):
    mapped = np.memmap(path, dtype=x.dtype, mode="w+", shape=x.shape)
    mapped[:] = x
    mapped.flush()
    return np.memmap(path, dtype=x.dtype, mode="r", shape=x.shape)


def test_no_more_is_looked_at_than_the_codec_says():
    codec = Modest(3).fit(vectors(), rng=4)
    assert Modest.seen == 100
    assert codec == Modest(3).fit(vectors(), rng=4)
    assert codec != Modest(3).fit(vectors(), rng=5)
    Modest(3).fit(vectors(90))
    assert Modest.seen == 90


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("codec", [lambda: Modest(3), lambda: Chain([Modest(3)], Turbo4()), lambda: PCA(3)])
def test_a_memory_map_gives_what_an_array_gives(tmp_path, dtype, codec):
    x = vectors().astype(dtype)
    fitted = codec().fit(on_disk(tmp_path / "x", x))
    assert fitted == codec().fit(x)
    np.testing.assert_array_equal(fitted.encode(x[:5]), codec().fit(x).encode(x[:5]))


def test_a_memory_map_is_not_copied(tmp_path):
    mapped = on_disk(tmp_path / "x", vectors())
    assert np.shares_memory(octant.vectors.as_matrix(mapped), mapped)
    half = on_disk(tmp_path / "y", vectors().astype(np.float16))
    assert np.shares_memory(as_rows(half), half)
    assert as_rows(np.asarray(half, np.float64)).dtype == np.float32
    assert drawn(as_rows(half), 7, np.random.default_rng(0)).dtype == np.float32


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_what_is_in_a_memory_map_stays_there(tmp_path, mode):
    x = vectors()
    on_disk(tmp_path / "x", x)
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode=mode, shape=x.shape)
    if mode != "r":
        mapped[3] = 7
    np.testing.assert_array_equal(as_rows(mapped)[4:], x[4:])
    np.testing.assert_array_equal(mapped[3], x[3] if mode == "r" else np.full(8, 7))


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system cannot be told to let pages go")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say what is resident")
def test_a_file_that_was_looked_at_is_let_go(tmp_path):
    def resident():
        line = next(line for line in Path("/proc/self/status").read_text().split("\n") if line.startswith("RssFile"))
        return int(line.split()[1]) * 1024

    mapped = on_disk(tmp_path / "x", vectors(200_000, 32))
    before = resident()
    as_rows(mapped)
    assert resident() - before < mapped.nbytes / 4


def test_a_bad_row_of_a_memory_map_is_found_wherever_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(octant.vectors, "CHUNK", 64)
    for dtype in (np.float16, np.float32, np.float64):
        x = vectors().astype(dtype)
        x[437, 2] = np.nan
        with pytest.raises(VectorValueError, match=r"row 437 holds NaN or inf \(1 such rows\)"):
            Modest(3).fit(on_disk(tmp_path / dtype.__name__, x))


def test_a_representation_knows_what_it_learns_from():
    for chain, learned_from, queries in [
        (Chain([Modest(3)], Turbo4()), 100, 0),
        (Chain([PCA(4), Modest(3)], Turbo4()), 100, 0),
        (Chain([PCA(4)], Curious()), 500, 2),
        (Chain([], Turbo4()), 0, 0),
    ]:
        representation = Representation(chain)
        assert representation.learns_from(500) == learned_from
        assert representation.weighs_queries == bool(queries)
    assert Representation(Chain([Modest(3)], Turbo4())).sample_size == 100
    assert Representation(Chain([PCA(4), Modest(3)], Turbo4())).sample_size == PCA.sample_size
    assert Representation(Chain([Modest(3)], Curious())).sample_size is None


def test_a_chain_draws_once_for_all_its_links(monkeypatch):
    monkeypatch.setattr(PCA, "sample_size", 200)
    seen = []
    learn = PCA._fit
    monkeypatch.setattr(PCA, "_fit", lambda self, x, queries, rng: seen.append(len(x)) or learn(self, x, queries, rng))
    Chain([PCA(6)], Turbo4()).fit(vectors())
    Chain([PCA(6), PCA(4)], Turbo4()).fit(vectors())
    Chain([PCA(6)], Curious()).fit(vectors())
    assert seen == [200] * 4


def test_a_collection_reports_what_it_was_given_and_what_was_looked_at():
    x = vectors()
    with Collection.create("c", represent="pca(4)|turbo4") as c:
        report = c.fit(x, queries=x[:7])
        assert (report.vectors, report.dimension, report.learned_from, report.queries) == (500, 8, 500, 0)
    with Collection.create("c", represent="turbo4") as c:
        assert c.fit(x).learned_from == 0


def test_a_collection_draws_before_it_computes(monkeypatch):
    monkeypatch.setattr(PCA, "sample_size", 100)
    x = vectors()
    with Collection.create("c", represent="pca(4)|turbo4", distance="dot", seed=3) as c:
        report = c.fit(x)
        assert (report.vectors, report.learned_from) == (500, 100)
        assert c.representation == Representation.parse("pca(4)|turbo4").fit(x, rng=3)


def test_texts_may_be_training_queries():
    def embed(texts):
        return np.stack([vectors(1, seed=len(text))[0] for text in texts])

    with Collection.create("c", represent="pca(4)|turbo4", embedding=embed) as c:
        assert c.fit([f"text {'i' * i}" for i in range(20)], queries=["what", "where"]).vectors == 20
