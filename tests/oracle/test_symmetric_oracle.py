"""Symmetric distances and the served recurrence, against the slow obvious ones."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from octant.quantizers import symmetric
from octant.quantizers.recurrent import RecurrentBinary
from octant.quantizers.recurrent_maps import composed
from octant.quantizers.symmetric import ComposedCodes, SymmetricIndex

KERNELS = ("numpy", "numkong")
SHAPES = [(1, 64), (1, 3), (2, 37), (3, 130), (4, 96), (5, 50), (8, 9)]


def needs(kernel: str) -> str:
    if kernel == "numkong" and importlib.util.find_spec("numkong") is None:
        pytest.skip("needs the extra [kernels]")
    return kernel


def signs(n: int, width: int, seed: int = 0) -> Any:
    return np.where(np.random.default_rng(seed).random((n, width)) < 0.5, -1, 1).astype(np.float32)


@pytest.mark.parametrize(("planes", "dim"), SHAPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_dot_products_are_those_of_the_codes(planes: int, dim: int, kernel: str) -> None:
    if kernel == "numkong" and planes > 4:
        pytest.skip("four-bit numbers hold four planes")
    x, q = signs(300, planes * dim), signs(7, planes * dim, seed=1)
    points, queries = ComposedCodes.of(x, planes), ComposedCodes.of(q, planes)
    b, c = (composed(s.reshape(len(s), planes, dim)).astype(np.float64) for s in (x, q))
    assert np.array_equal(points.integers(), b * 2 ** (planes - 1))
    index = SymmetricIndex(points, needs(kernel))  # type: ignore[arg-type]
    assert index.kernel == kernel
    assert np.array_equal(index.dots(queries), (c @ b.T) * 4 ** (planes - 1))
    cosines = c @ b.T / np.linalg.norm(c, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(index.cosines(queries), cosines, atol=1e-6)


def test_one_plane_is_the_hamming_distance() -> None:
    x, q = signs(50, 70), signs(5, 70, seed=1)
    hamming = (x[None] != q[:, None]).sum(axis=2)
    dots = SymmetricIndex(ComposedCodes.of(x, 1), "numpy").dots(ComposedCodes.of(q, 1))
    assert np.array_equal(dots, 70 - 2 * hamming)


def test_counting_bits_without_numpy_two_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = ComposedCodes.of(signs(20, 130), 2)
    expected = SymmetricIndex(codes, "numpy").dots(codes)
    monkeypatch.delattr(symmetric.np, "bitwise_count", raising=False)
    assert np.array_equal(SymmetricIndex(codes, "numpy").dots(codes), expected)


def test_packed_codes_are_one_bit_a_sign() -> None:
    assert ComposedCodes.of(signs(10, 2 * 64), 2).nbytes == 10 * 2 * 8


def slow_code(maps: list[Any], x: Any, loops: int) -> list[Any]:
    """The recurrence of the paper, one vector at a time; ``maps`` are W, R_0, R_1 ... and then B_0, B_1 ..."""
    x = x / np.linalg.norm(x)
    planes = [np.where(maps[0](x) >= 0, 1.0, -1.0)]
    b = planes[0]
    for i in range(loops):
        guess = maps[loops + 1 + i](b)
        d = np.where(maps[1 + i](x - guess / np.linalg.norm(guess)) >= 0, 1.0, -1.0)
        planes.append(d)
        b = b + 2.0 ** -(i + 1) * d
    return planes


@pytest.mark.parametrize("spec", [(8, 2, "residual", 1), (8, 1, "mlp", 3), (6, 1, "linear", 1)])
def test_what_serves_is_the_recurrence_that_was_trained(spec: tuple[int, int, str, int]) -> None:
    """The maps of the state, written out, give the codes that ``encode`` gives."""
    pytest.importorskip("torch", reason="needs the extra [train]")
    dim, loops, method, blocks = spec
    x = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    codec = RecurrentBinary(dim, loops, method, blocks=blocks, steps=12).fit(x)

    def written(prefix: str, which: int) -> Any:
        parts = {
            part: codec.state[f"{prefix}_{part}"][which].astype(np.float64)
            for part in ("skip", "first", "middle", "last")
        }

        def apply(v: Any) -> Any:
            out = np.zeros(len(parts["last"]))
            if len(parts["skip"]):
                out += parts["skip"][:, :-1] @ v + parts["skip"][:, -1]
            if len(parts["first"]):
                h = np.maximum(parts["first"][:, :-1] @ v + parts["first"][:, -1], 0)
                for layer in parts["middle"]:
                    h = np.maximum(layer[:, :-1] @ h + layer[:, -1], 0)
                out += parts["last"][:, :-1] @ h + parts["last"][:, -1]
            return out

        return apply

    maps = [written("code", i) for i in range(loops + 1)] + [written("back", i) for i in range(loops)]
    slow = np.array([np.concatenate(slow_code(maps, v, loops)) for v in x.astype(np.float64)])
    assert (codec.encode(x) == slow).mean() > 0.999  # a sign of almost nothing may fall either way


def test_folded_batch_normalisation_is_what_torch_computes() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    from octant.descent import Schedule, arrays, train
    from octant.quantizers import recurrent_fit
    from octant.quantizers.held_out import Split
    from octant.work import QUIET

    x = np.random.default_rng(0).normal(size=(400, 10)).astype(np.float32)
    rng = np.random.default_rng(1)
    shape = recurrent_fit.Shape(8, 1, 12, 2, skip=True)
    learner = recurrent_fit.RecurrentLearner(Split.of(x, rng), shape, rng, "soft")
    train(learner, Schedule(15), what="it", seed=0, key="k", work=QUIET)
    code, back = recurrent_fit.serving(arrays({**learner.parameters, **learner.buffers}), shape)
    with torch.no_grad():
        for side, maps, inputs in (("code", code, x), ("back", back, signs(50, 8))):
            for which in range(len(maps)):
                expected = learner._map(learner.parameters, side, which, torch.tensor(inputs), learning=False)
                np.testing.assert_allclose(maps(which, inputs), expected.numpy(), atol=1e-4)


def test_gradients_pass_straight_through_where_inputs_are_small() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    from octant.quantizers import recurrent_fit
    from octant.quantizers.held_out import Split

    rng = np.random.default_rng(0)
    split = Split.of(rng.normal(size=(50, 4)).astype(np.float32), rng)
    learner = recurrent_fit.RecurrentLearner(split, recurrent_fit.Shape(2, 0, 0, 1, skip=True), rng, "hard")
    z = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0], requires_grad=True)
    out = learner._step(z)
    assert out.tolist() == [-1, -1, 1, 1, 1]
    out.sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [0, 1, 1, 1, 0]
