"""The fast search for bits and the decoder's solver, against the slow obvious ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from octant.quantizers.binary_encode import CHUNK, Code, directions
from octant.quantizers.binary_fit import better_decoder

N, DIM, BITS = 90, 12, 20


def vectors(n: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, DIM)) * np.linspace(2, 0.3, DIM) + 0.5).astype(np.float32)


def code(eta: float, seed: int = 1) -> Code:
    rng = np.random.default_rng(seed)
    decoder = (rng.normal(size=(BITS, DIM)) * 0.4).astype(np.float32)
    encoder = rng.normal(size=(DIM, BITS)).astype(np.float32)
    return Code(np.full(DIM, 0.5, np.float32), decoder, encoder, eta)


def slow_loss(one: Code, x: Any, bits: Any) -> float:
    residual = x - one.mean - bits @ one.decoder.astype(np.float64)
    along = residual @ (x / np.linalg.norm(x))
    return float(residual @ residual + (one.eta - 1) * along**2)


def slow_search(one: Code, x: Any, sweeps: int) -> Any:
    """Flip a bit whenever the loss of the whole vector says so."""
    bits = np.where((x - one.mean) @ one.encoder >= 0, 1.0, -1.0)
    for row, vector in zip(bits, x.astype(np.float64), strict=True):
        for _ in range(sweeps):
            for j in range(BITS):
                flipped = row.copy()
                flipped[j] = -row[j]
                gain = slow_loss(one, vector, row) - slow_loss(one, vector, flipped)
                if gain > 4e-5 * float(one.decoder[j] @ one.decoder[j]):
                    row[j] = -row[j]
    return bits


@pytest.mark.parametrize("eta", [1.0, 4.0])
@pytest.mark.parametrize("sweeps", [0, 1, 3])
def test_the_search_flips_what_the_loss_says(eta: float, sweeps: int) -> None:
    x, one = vectors(N), code(eta)
    assert np.array_equal(one.encode(x, sweeps=sweeps), slow_search(one, x, sweeps))


def slow_kicks(one: Code, x: Any, bits: Any, kicks: int) -> Any:
    """Flip the cheapest bits on trial, one after the other, and keep what lowers the loss of the whole vector."""
    own = 4e-5 * np.square(one.decoder.astype(np.float64)).sum(axis=1)

    def cost(vector: Any, row: Any, j: int) -> float:
        flipped = row.copy()
        flipped[j] = -row[j]
        return slow_loss(one, vector, flipped) - slow_loss(one, vector, row) + float(own[j])

    bits = bits.astype(np.float64)
    for row, vector in zip(bits, x.astype(np.float64), strict=True):
        for kicked in np.argsort([cost(vector, row, j) for j in range(BITS)], kind="stable")[:kicks]:
            trial = row.copy()
            total = cost(vector, trial, kicked)
            trial[kicked] = -trial[kicked]
            for j in [j for _ in range(2) for j in range(BITS) if j != kicked]:
                change = cost(vector, trial, j)
                if change < 0:
                    total += change
                    trial[j] = -trial[j]
            if total < 0:
                row[:] = trial
    return bits


@pytest.mark.parametrize("eta", [1.0, 4.0])
@pytest.mark.parametrize("kicks", [1, 6, 100])
def test_kicks_keep_what_the_loss_keeps(eta: float, kicks: int) -> None:
    x, one = vectors(N), code(eta)
    settled = one.encode(x, sweeps=20)
    found = one.encode(x, sweeps=20, kicks=kicks)
    assert np.array_equal(found, slow_kicks(one, x, settled, kicks))
    assert one.loss(x, found) < one.loss(x, settled) * (0.99 if kicks == 1 else 0.95)


@pytest.mark.parametrize("eta", [1.0, 8.0])
def test_the_loss_is_the_slow_loss_and_never_grows_from_sweep_to_sweep(eta: float) -> None:
    x, one = vectors(N), code(eta)
    each = []
    for sweeps in range(6):
        codes = one.encode(x, sweeps=sweeps)
        each.append([slow_loss(one, vector, bits) for vector, bits in zip(x.astype(np.float64), codes, strict=True)])
        assert one.loss(x, codes) == pytest.approx(np.mean(each[-1]), rel=1e-4)
    steps = np.diff(np.array(each), axis=0)
    assert steps.max() <= 0
    assert steps[0].min() < -0.1


def test_a_search_from_given_codes_never_makes_one_worse() -> None:
    x, one = vectors(N), code(4.0)
    start = np.where(np.random.default_rng(2).random((N, BITS)) < 0.5, np.float32(1), np.float32(-1))
    kept = start.copy()
    better = one.improve(x, start, sweeps=2)
    assert np.array_equal(start, kept)
    before = [slow_loss(one, vector, bits) for vector, bits in zip(x, start, strict=True)]
    after = [slow_loss(one, vector, bits) for vector, bits in zip(x, better, strict=True)]
    assert (np.array(after) <= np.array(before) + 1e-4).all()


def test_threads_and_batches_change_nothing() -> None:
    x, one = vectors(2 * CHUNK + 130, seed=3), code(4.0)
    whole = one.encode(x, sweeps=4, threads=1)
    for threads in (2, 3, None):
        assert np.array_equal(one.encode(x, sweeps=4, threads=threads), whole)
    parts = [one.encode(part, sweeps=4) for part in np.split(x, [1, 7, 300, 301, CHUNK + 17])]
    assert np.array_equal(np.concatenate(parts), whole)


def exact_decoder(one: Code, x: Any, codes: Any, ridge: float) -> Any:
    """All normal equations at once: every vector has a weight matrix of its own."""
    unit = directions(x).astype(np.float64)
    weights = np.eye(DIM) + (one.eta - 1) * unit[:, :, None] * unit[:, None, :]
    left = np.einsum("ni,nj,nde->idje", codes, codes, weights) / len(x)
    left += ridge * np.einsum("ij,de->idje", np.eye(BITS), weights.mean(axis=0))
    right = np.einsum("ni,nde,ne->id", codes, weights, x - one.mean) / len(x)
    return np.linalg.solve(left.reshape(BITS * DIM, BITS * DIM), right.ravel()).reshape(BITS, DIM)


@pytest.mark.parametrize("eta", [1.0, 4.0])
def test_the_decoder_goes_to_the_exact_solution_and_never_away(eta: float) -> None:
    x, one = vectors(400), code(eta)
    codes = one.encode(x, sweeps=2)
    best = exact_decoder(one, x, codes, ridge=1e-3)
    losses = [one.loss(x, codes)]
    for _ in range(4):
        one = replace(one, decoder=better_decoder(one, x, codes, 1e-3))
        losses.append(one.loss(x, codes))
    assert losses[1] < losses[0]
    assert losses[-1] == pytest.approx(replace(one, decoder=best.astype(np.float32)).loss(x, codes), rel=1e-4)
    assert np.abs(one.decoder - best).max() < 2e-3
