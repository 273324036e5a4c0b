"""Recurrent binary codes: the contract, what training buys, and scores that come back from Edge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import octant
from octant import artifact
from octant.layout import HnswSettings, SearchKnobs
from octant.quantizers.compatible import CompatibleQueries
from octant.quantizers.recurrent import RecurrentBinary
from octant.quantizers.symmetric import SymmetricIndex
from octant.representation import Representation
from octant.vectors import unit_rows

pytest.importorskip("torch", reason="needs the extra [train]")

GRAPH = HnswSettings(indexing_threshold=1, full_scan_threshold=1)
N, DIM = 2000, 32


@pytest.fixture(scope="module")
def points() -> tuple[Any, Any]:
    """Unit points (N, DIM) whose variance falls along rotated axes, and queries (200, DIM) near some of them."""
    rng = np.random.default_rng(5)
    rotation = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    spread = np.geomspace(2, 0.2, DIM)
    x = (rng.normal(size=(N, DIM)) * spread) @ rotation + 0.2
    q = x[:200] + 0.3 * (rng.normal(size=(200, DIM)) * spread) @ rotation
    return unit_rows(x.astype(np.float32)), unit_rows(q.astype(np.float32))


def best(scores: Any, k: int = 10) -> Any:
    return np.argsort(-scores, axis=1)[:, :k]


def overlap(one: Any, other: Any) -> float:
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / len(a) for a, b in zip(one, other, strict=True)]))


def scanned(codec: Any, x: Any, q: Any) -> float:
    return overlap(best(q @ codec.decode(codec.encode(x)).T), best(q @ x.T))


def compared(codec: RecurrentBinary, x: Any, q: Any) -> float:
    return overlap(best(SymmetricIndex(codec.symmetric(x)).cosines(codec.symmetric(q))), best(q @ x.T))


def test_a_loop_finds_more_than_as_many_bits_of_hashing_and_less_than_float(points: tuple[Any, Any]) -> None:
    x, q = points
    hashed = RecurrentBinary(2 * DIM, 0, steps=20).fit(x[:1000])
    looped = RecurrentBinary(DIM, 1, steps=20).fit(x[:1000])
    control = RecurrentBinary(DIM, 0, "float", steps=10).fit(x[:1000])
    assert hashed.bits == looped.bits
    assert compared(looped, x, q) > compared(hashed, x, q) + 0.02
    assert scanned(looped, x, q) > scanned(hashed, x, q) + 0.02
    assert scanned(control, x, q) > scanned(looped, x, q)


def test_every_loop_makes_the_error_smaller(points: tuple[Any, Any]) -> None:
    x, _ = points
    errors = []
    for loops in (0, 1, 2):
        codec = RecurrentBinary(DIM, loops, "linear", steps=20).fit(x[:1000])
        errors.append(float(np.square(x[1000:] - codec.decode(codec.encode(x[1000:]))).sum(axis=1).mean()))
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


@pytest.mark.parametrize("contrast", ["soft", "hard"])
def test_mlps_as_published_learn_from_nothing_but_vectors(contrast: str, points: tuple[Any, Any]) -> None:
    x, q = points
    codecs = (RecurrentBinary(DIM, 1, "mlp", contrast=contrast, hidden=64, steps=steps) for steps in (1, 100))
    barely, trained = (compared(codec.fit(x[:1500]), x, q) for codec in codecs)
    assert trained > barely + 0.02


def test_an_mlp_decoder_is_bytes_of_a_smaller_error() -> None:
    """On vectors that few numbers decide, though not linearly, the signs say more than their sum."""
    rng = np.random.default_rng(4)
    inner, outer = rng.normal(size=(2, 64)), rng.normal(size=(64, DIM)) / 8
    x = unit_rows((np.tanh(rng.normal(size=(1200, 2)) @ inner) @ outer).astype(np.float32))
    # Enough steps that the order in which a processor adds up does not decide: about .93 is reached.
    codec = RecurrentBinary(DIM, 0, decoder="mlp", steps=600, hidden=64).fit(x)
    codes = codec.encode(x)
    assert codes.dtype == np.uint8
    assert codes.shape == (1200, DIM // 8)
    plain = codec.mean_ + np.where(codec.symmetric(x).integers() > 0, 1, -1) @ codec.decoder_
    assert np.square(x - codec.decode(codes)).sum() < 0.98 * np.square(x - plain).sum()


def test_real_queries_take_part(points: tuple[Any, Any]) -> None:
    x, q = points
    without, given, again = (
        RecurrentBinary(16, 1, "mlp", steps=15, hidden=8).fit(x[:600], queries=asked) for asked in (None, q, q)
    )
    assert not np.array_equal(without.encode(x), given.encode(x))
    assert given == again


@pytest.mark.parametrize(
    ("spec", "factor"), [("recurrent_binary(64, 1, steps=20)", 1.0), ("recurrent_binary(96, 0, linear, steps=5)", 3.0)]
)
def test_edge_scores_are_the_query_against_the_decoded_vector(
    spec: str, factor: float, points: tuple[Any, Any]
) -> None:
    x, q = points[0] * np.float32(factor), points[1]
    distance = "cosine" if factor == 1 else "dot"
    with octant.Collection.create("c", represent=spec, distance=distance, hnsw=GRAPH) as collection:
        collection.fit(x)
        collection.add(vectors=x, ids=list(range(N)))
        collection.optimize()
        rankings = collection.search_batch(list(q), 10, knobs=SearchKnobs(hnsw_ef=256))
        codec = collection.representation
        estimate = q @ codec.decode(codec.encode(x)[0]).T
        searched = {part.name: part.bytes for part in collection.footprint().components}["searched codes"]
    errors = [abs(hit.score - estimate[row, int(hit.id)]) for row, hits in enumerate(rankings) for hit in hits]
    assert max(errors) < 0.01 * factor  # a query coordinate keeps 8 bits
    found = [np.array([int(hit.id) for hit in hits]) for hits in rankings]
    assert overlap(found, best(estimate)) > 0.93
    assert (
        abs(np.mean([hit.score - q[row] @ x[int(hit.id)] for row, hits in enumerate(rankings) for hit in hits]))
        < 0.15 * factor
    )
    assert 16 * N <= searched <= 16 * N + 200 * 128


def test_a_decoder_that_is_not_linear_rescores_beside_a_linear_one(points: tuple[Any, Any]) -> None:
    x, q = points
    spec = "coarse=recurrent_binary(64, 1, steps=10); fine=recurrent_binary(64, 2, decoder=mlp, hidden=64, steps=30)"
    with octant.Collection.create("c", represent=spec, hnsw=GRAPH) as collection:
        collection.fit(x)
        collection.add(vectors=x, ids=list(range(N)))
        collection.optimize()
        rankings = collection.search_batch(list(q), 10)
        codec = collection.representation
        estimate = q @ codec.decode(codec.encode(x)[1]).T
    errors = [abs(hit.score - estimate[row, int(hit.id)]) for row, hits in enumerate(rankings) for hit in hits]
    assert max(errors) < 1e-4
    found = [np.array([int(hit.id) for hit in hits]) for hits in rankings]
    assert overlap(found, best(q @ x.T)) > 0.7


def test_an_artifact_serves_where_torch_is_not(points: tuple[Any, Any], tmp_path: Path) -> None:
    x, _ = points
    spec = (
        "coarse=autoencoder(16, steps=5)|recurrent_binary(32, 1, steps=5); "
        "fine=recurrent_binary(32, 1, decoder=mlp, steps=5)"
    )
    representation = Representation.parse(spec).fit(x)
    (tmp_path / "artifact").write_bytes(artifact.dump(representation, DIM))
    np.save(tmp_path / "x.npy", x[:50])
    script = f"""
import sys
sys.modules["torch"] = None
import numpy as np
from octant import artifact
folder = {str(tmp_path)!r}
fitted, _ = artifact.load(open(folder + "/artifact", "rb").read())
x = np.load(folder + "/x.npy")
coarse, fine = fitted.encode(x)
query = fitted.encode_query(x)[0].vectors
np.savez(folder + "/out.npz", coarse=coarse, fine=fine, decoded=fitted.decode(fine), query=query)
assert "torch" not in [name for name, module in sys.modules.items() if module is not None]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    coarse, fine = representation.encode(x[:50])
    with np.load(tmp_path / "out.npz") as out:
        assert np.array_equal(out["coarse"], coarse)
        assert np.array_equal(out["fine"], fine)
        np.testing.assert_allclose(out["decoded"], representation.decode(fine), atol=1e-5)
        np.testing.assert_allclose(out["query"], representation.encode_query(x[:50])[0].vectors, atol=1e-5)


# -- another model's queries ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_model(points: tuple[Any, Any]) -> tuple[Any, Any]:
    """The same texts by another model: other coordinates, another width, other proportions, some noise."""
    rng = np.random.default_rng(9)
    turn = rng.normal(size=(DIM, 40)) / np.sqrt(DIM)

    def embed(x: Any) -> Any:
        return unit_rows((np.tanh(3 * x @ turn) + 0.05 * rng.normal(size=(len(x), 40))).astype(np.float32))

    return embed(points[0]), embed(points[1])


def test_new_queries_search_old_codes(points: tuple[Any, Any], other_model: tuple[Any, Any]) -> None:
    (x, q), (new_x, new_q) = points, other_model
    codec = octant.quantizer("recurrent_binary(64, 1, steps=20)").fit(x)
    codes, true = codec.encode(x), best(q @ x.T)
    before = codec.state
    compatible = CompatibleQueries(steps=80).fit(new_x[:1500], codes[:1500], codec)
    assert all(np.array_equal(before[name], value) for name, value in codec.state.items()), "the old side is frozen"
    translated = compatible.encode(new_q, codec)
    assert translated.shape == q.shape
    decoded = codec.decode(codes)
    old = overlap(best(q @ decoded.T), true)
    found = overlap(best(translated @ decoded.T), true)
    lost = overlap(best(new_q[:, :DIM] @ decoded.T), true)
    assert found > 0.65 * old
    assert lost < 0.1
    again = CompatibleQueries.load(compatible.dump())
    assert np.array_equal(again.encode(new_q, codec), translated)
    assert np.array_equal(CompatibleQueries(steps=80).fit(new_x[:1500], codes[:1500], codec).encode(new_q), translated)


def test_a_contrast_finds_more_than_least_squares(points: tuple[Any, Any], other_model: tuple[Any, Any]) -> None:
    (x, _), (new_x, new_q) = points, other_model
    codec = octant.quantizer("recurrent_binary(64, 1, steps=5)").fit(x)
    codes = codec.encode(x)
    true, decoded = best(new_q @ new_x.T), codec.decode(codes)
    start, trained = (
        overlap(best(CompatibleQueries(steps=steps).fit(new_x, codes, codec).encode(new_q) @ decoded.T), true)
        for steps in (1, 100)
    )
    assert trained > start + 0.01
