"""The compiled search finds, bit for bit, what the one in numpy finds; without numba everything works."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from octant.quantizers import binary_encode, binary_sweep
from octant.quantizers.binary_encode import Code
from octant.quantizers.binary_sweep import Gram

pytest.importorskip("numba", reason="needs the extra [fast]")


def code(bits: int, dim: int, eta: float, seed: int = 0, scale: float = 0.3) -> Code:
    rng = np.random.default_rng(seed)
    decoder = (rng.normal(size=(bits, dim)) * scale).astype(np.float32)
    encoder = rng.normal(size=(dim, bits)).astype(np.float32)
    return Code(rng.normal(size=dim).astype(np.float32) * np.float32(0.1), decoder, encoder, eta)


def vectors(n: int, dim: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def in_both(
    monkeypatch: pytest.MonkeyPatch, one: Code, x: Any, sweeps: int, start: Any = None, kicks: int = 5
) -> tuple[Any, bool]:
    """Codes by numba, after checking that numpy's are the same, and whether numba was really used."""
    used = []
    real, step = binary_sweep.compiled(), Gram.of(one.decoder @ one.decoder.T).step
    assert real is not None

    def spied(bits: Any, g: Any, *others: Any) -> None:
        used.append(True)
        assert np.array_equal(np.rint(g / step) * step, g)  # else its sums would depend on their order
        real(bits, g, *others)

    def search() -> Any:
        if start is None:
            return one.encode(x, sweeps=sweeps, kicks=kicks, threads=1)
        return one.improve(x, start, sweeps=sweeps, kicks=kicks, threads=1)

    with monkeypatch.context() as patch:
        patch.setattr(binary_sweep, "compiled", lambda: spied)
        fast = search()
        patch.setattr(binary_sweep, "compiled", lambda: None)
        assert np.array_equal(search(), fast)
    return fast, bool(used)


@pytest.mark.parametrize("eta", [1.0, 4.0, 8.0])
@pytest.mark.parametrize(("bits", "dim"), [(1, 1), (7, 3), (16, 16), (50, 33), (130, 40), (24, 96)])
def test_random_vectors(monkeypatch: pytest.MonkeyPatch, bits: int, dim: int, eta: float) -> None:
    x, one = vectors(300, dim), code(bits, dim, eta)
    start = one.encode(x, sweeps=0)
    for sweeps in (1, 2, 9):
        found, used = in_both(monkeypatch, one, x, sweeps)
        from_other, also_used = in_both(monkeypatch, one, x, sweeps, start=-start)
        assert bits < 16 or (used and also_used)
    if bits > 10:
        assert not np.array_equal(found, start)
        assert not np.array_equal(from_other, -start)


def adversaries(dim: int) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    x = vectors(200, dim)
    return {
        "duplicates": np.repeat(x[:3], 70, axis=0),
        "constant coordinates": np.broadcast_to(x[:1, :1], (200, dim)).copy(),
        "zeros": np.zeros((100, dim), np.float32),
        "opposites": np.concatenate([x, -x]),
        "few levels": np.sign(x) * np.float32(0.5),
        "one coordinate": np.eye(dim, dtype=np.float32)[rng.integers(dim, size=150)],
        "tiny": x * np.float32(1e-12),
        "denormal": x * np.float32(1e-42),
        "large": x * np.float32(1e6),
        "huge": x * np.float32(1e18),
        "of all sizes": x * (10.0 ** rng.integers(-8, 8, size=(200, 1))).astype(np.float32),
        "one": x[:1],
    }


@pytest.mark.parametrize("name", adversaries(20))
@pytest.mark.parametrize("eta", [1.0, 4.0])
def test_adversarial_vectors(monkeypatch: pytest.MonkeyPatch, name: str, eta: float) -> None:
    x = adversaries(20)[name]
    for seed in range(3):
        in_both(monkeypatch, code(45, 20, eta, seed), x, 6)
        in_both(monkeypatch, code(45, 20, eta, seed, scale=1e-4), x, 6)


def tied_decoders(dim: int) -> dict[str, Any]:
    row = vectors(1, dim)
    return {
        "equal rows": np.repeat(row, 40, axis=0),
        "opposite rows": np.concatenate([np.repeat(row, 20, axis=0), np.repeat(-row, 20, axis=0)]),
        "zero rows": np.concatenate([vectors(20, dim, seed=3), np.zeros((20, dim), np.float32)]),
        "zeros": np.zeros((40, dim), np.float32),
        "powers of two": np.sign(vectors(40, dim, seed=4)) * np.float32(0.25),
        "of all sizes": vectors(40, dim, seed=5) * (10.0 ** -np.arange(40, dtype=np.float32) / 4)[:, None],
    }


@pytest.mark.parametrize("name", tied_decoders(16))
def test_decoders_whose_bits_tie(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    decoder = tied_decoders(16)[name].astype(np.float32)
    for x in (vectors(200, 16), np.sign(vectors(200, 16)) * np.float32(0.25), np.repeat(decoder[:4], 30, axis=0)):
        for eta in (1.0, 3.0):
            one = Code(np.zeros(16, np.float32), decoder, np.ascontiguousarray(decoder.T), eta)
            in_both(monkeypatch, one, x, 8)


def test_every_operation_is_rounded_as_numpy_rounds_it() -> None:
    """Every flip's change is made of two pairs that cancel exactly, unless a product was not rounded before its sum."""
    rng = np.random.default_rng(0)
    bits = np.where(rng.random((64, 500)) < 0.5, -1, 1).astype(np.float32)
    p, along, weight = rng.normal(size=500).astype(np.float32), np.float32(1) / np.float32(3), np.float32(0.7)
    weighted = weight * p
    g, own = -(along * weighted), -(weighted * p)
    kernel = binary_sweep.compiled()
    assert kernel is not None
    for search in (kernel, binary_sweep._in_numpy):
        found = bits.copy()
        rows = (np.tile(g, (64, 1)), np.full(64, along), np.tile(p, (64, 1)))
        search(found, *rows, np.zeros((500, 500), np.float32), own, weight, 3, 0)
        assert np.array_equal(found, bits)


def test_sums_of_the_gram_matrix_have_no_order() -> None:
    decoder = code(200, 60, 4.0).decoder
    gram = Gram.of(decoder @ decoder.T)
    start = gram.rounded(vectors(200, 1)[:, 0])
    moves = np.random.default_rng(2).choice([-2, 0, 2], size=200).astype(np.float32)
    forward, backward = start.copy(), start.copy()
    for j in range(200):
        forward += gram.values[j] * moves[j]
        backward += gram.values[199 - j] * moves[199 - j]
    exact = start.astype(np.float64) + gram.values.astype(np.float64) @ moves
    assert np.array_equal(forward, backward)
    assert np.array_equal(forward, exact)
    assert np.array_equal(start + gram.values @ moves, forward)
    plain = code(200, 60, 4.0).decoder
    assert np.abs(gram.values - plain @ plain.T).max() < 1e-5 * gram.values.max()


def test_a_vector_out_of_reach_is_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    one = code(45, 20, 4.0)
    assert in_both(monkeypatch, one, vectors(100, 20), 4)[1]
    assert not in_both(monkeypatch, one, vectors(100, 20) * np.float32(1e6), 4)[1]


def test_without_numba_the_same_codes_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    x, one = vectors(100, 20), code(45, 20, 4.0)
    found = one.encode(x, sweeps=4)
    binary_sweep.compiled.cache_clear()
    monkeypatch.setattr(binary_sweep, "find_spec", lambda name: None)
    try:
        assert binary_sweep.compiled() is None
        assert np.array_equal(one.encode(x, sweeps=4), found)
    finally:
        binary_sweep.compiled.cache_clear()


def test_a_numba_that_cannot_be_imported_is_told_and_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    binary_sweep.compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(binary_sweep, "find_spec", lambda name: name)
    try:
        with pytest.warns(RuntimeWarning, match="numba is installed but cannot be imported .* same bits in more time"):
            assert binary_sweep.compiled() is None
    finally:
        binary_sweep.compiled.cache_clear()


def test_numba_is_imported_by_the_first_search_only() -> None:
    program = """
import sys
import numpy as np
from octant import quantizer
codec = quantizer("binary(8)").blank()
assert "numba" not in sys.modules
codec.fit(np.random.default_rng(0).normal(size=(40, 4)))
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_threads_share_one_compiled_search() -> None:
    x, one = vectors(3 * binary_encode.CHUNK, 20), code(45, 20, 4.0)
    assert np.array_equal(one.encode(x, sweeps=4, threads=4), one.encode(x, sweeps=4, threads=1))
