"""A fit of binary codes that is stopped after any round resumes, bit for bit; one can be continued on more vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octant.errors import DimensionError, VectorValueError
from octant.quantizers import binary_fit
from octant.quantizers.binary import ComposedBinary
from octant.quantizers.binary_choice import Choice, choose, metric
from octant.quantizers.binary_encode import Code
from octant.work import Work

BITS = 24


def vectors(n: int, seed: int = 0, shift: float = 0.0) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 12)) * np.linspace(2, 0.3, 12) + shift).astype(np.float32)


class Stops(Work):
    """Raises after the ``after``-th save."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(checkpoint=folder)
        self.after = after

    def save(self, key: str, arrays: Any) -> None:
        super().save(key, arrays)
        self.after -= 1
        if not self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 2, 5, 9])
@pytest.mark.parametrize("count", [200, 1100])
def test_a_stopped_fit_resumes_bit_for_bit(tmp_path: Path, after: int, count: int) -> None:
    x, codec = vectors(count), ComposedBinary(BITS)
    with pytest.raises(KeyboardInterrupt):
        codec.fit(x, work=Stops(tmp_path, after))
    assert not codec.fitted
    assert len(list(tmp_path.iterdir())) == 1
    again = Stops(tmp_path, 100)
    assert codec.fit(x, work=again) == ComposedBinary(BITS).fit(x)
    assert 100 - again.after == 9 - after  # nothing was done twice
    assert list(tmp_path.iterdir()) == []


def test_another_fit_does_not_resume(tmp_path: Path) -> None:
    x = vectors(200)
    with pytest.raises(KeyboardInterrupt):
        ComposedBinary(BITS).fit(x, work=Stops(tmp_path, 4))
    for codec, data, seed in [
        (ComposedBinary(BITS), x + 1, 0),
        (ComposedBinary(BITS), x, 1),
        (ComposedBinary(32), x, 0),
    ]:
        fresh = Stops(tmp_path, 100)
        assert codec.fit(data, rng=seed, work=fresh) == type(codec)(codec.bits).fit(data, rng=seed)
        assert 100 - fresh.after == 9


def test_progress_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    ComposedBinary(BITS).fit(vectors(200), work=Work(progress=True))
    assert "binary(24)" in capsys.readouterr().err


def test_a_fit_continues_on_vectors_from_elsewhere() -> None:
    old, new, held_out = vectors(600), vectors(600, seed=1, shift=1.5), vectors(300, seed=2, shift=1.5)
    codec = ComposedBinary(BITS).fit(old)

    def error(one: ComposedBinary) -> float:
        return float(np.square(held_out - one.decode(one.encode(held_out))).mean())

    before, kept = error(codec), codec.state
    codec.partial_fit(new)
    assert error(codec) < 0.9 * before
    assert np.array_equal(codec.choice_[:4], kept["choice"][:4])
    assert int(codec.seen_) == 1200


def test_a_few_new_vectors_do_not_outweigh_those_seen_before() -> None:
    codec = ComposedBinary(BITS).fit(vectors(2000))
    held_out = vectors(500, seed=2)

    def error() -> float:
        return float(np.square(held_out - codec.decode(codec.encode(held_out))).mean())

    before = error()
    codec.partial_fit(vectors(12, seed=3))
    assert error() < 1.02 * before


def test_a_continued_fit_that_is_refused_changes_nothing() -> None:
    codec = ComposedBinary(BITS).fit(vectors(300))
    state = codec.state
    with pytest.raises(VectorValueError, match="all 5 are equal"):
        codec.partial_fit(np.ones((5, 12), np.float32))
    with pytest.raises(DimensionError, match="fitted on vectors of 12 coordinates, got 3"):
        codec.partial_fit(np.ones((5, 3), np.float32))
    assert all(np.array_equal(codec.state[name], state[name]) for name in state)


def test_a_stopped_continuation_resumes_bit_for_bit(tmp_path: Path) -> None:
    old, new = vectors(300), vectors(300, seed=1, shift=0.5)
    codec, whole = ComposedBinary(BITS).fit(old), ComposedBinary(BITS).fit(old).partial_fit(new)
    with pytest.raises(KeyboardInterrupt):
        codec.partial_fit(new, work=Stops(tmp_path, 3))
    again = Stops(tmp_path, 100)
    assert codec.partial_fit(new, work=again) == whole
    assert 100 - again.after == 8 - 3


def asked_in_few_directions(n: int, seed: int) -> Any:
    """Points that differ in all of 24 directions, and queries that ask in six of them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 24)).astype(np.float32), (
        rng.normal(size=(n // 2, 24)) * np.r_[np.ones(6), np.full(18, 0.1)]
    ).astype(np.float32)


def test_real_queries_are_found_more_when_the_fit_knows_some() -> None:
    x, queries = asked_in_few_directions(1200, 0)
    points, asked = asked_in_few_directions(1000, 1)
    true = asked @ points.T

    def correlation(codec: ComposedBinary) -> float:
        scores = asked @ codec.decode(codec.encode(points)).T
        return float(np.corrcoef(scores.ravel(), true.ravel())[0, 1])

    alone, told = ComposedBinary(BITS).fit(x), ComposedBinary(BITS).fit(x, queries=queries)
    assert told.metric_.shape == (24, 24)
    assert correlation(told) > correlation(alone) + 0.02
    assert alone.metric_.shape == (0, 0)
    on = ComposedBinary(BITS).fit(x).partial_fit(x, queries=queries)
    assert on.metric_.shape == (24, 24)
    assert correlation(on) > correlation(alone) + 0.01


def test_few_queries_weigh_little() -> None:
    _, queries = asked_in_few_directions(1200, 0)
    few, many = (metric(queries[:count], 0.5) for count in (3, 600))
    assert few is not None
    assert many is not None
    assert np.abs(few - np.eye(24)).max() < np.abs(many - np.eye(24)).max() / 2
    np.testing.assert_allclose(np.trace(many), 24, rtol=1e-4)
    assert metric(queries, 0.0) is None
    assert metric(None, 0.5) is None


def test_rotated_signs_are_kept_where_nothing_learned_beats_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x = vectors(400)

    def useless(*_: Any) -> Code:
        rng = np.random.default_rng(0)
        noise = [rng.normal(size=shape).astype(np.float32) for shape in ((10, 12), (12, 10))]
        return Code(x.mean(axis=0), noise[0], noise[1], 4.0)

    assert choose(x, None, 10, useless, np.random.default_rng(0)).signs
    monkeypatch.setattr(binary_fit, "choose", lambda *_: Choice(signs=True))
    codec = ComposedBinary(10).fit(x)
    assert codec.signs
    assert np.array_equal(codec.encode(x), np.where((x - codec.mean_) @ codec.encoder_ >= 0, 1, -1))
    gram = codec.decoder_ @ codec.decoder_.T
    np.testing.assert_allclose(gram, np.eye(10) * gram[0, 0], atol=1e-3 * gram[0, 0])
    monkeypatch.undo()
    assert not codec.partial_fit(x).signs


def test_what_is_chosen_does_not_depend_on_other_draws() -> None:
    """An interrupted fit passes over the choice, so its draws must not move the start."""
    x = vectors(300)
    one = ComposedBinary(BITS).fit(x, rng=4)
    assert one == ComposedBinary(BITS).fit(x, rng=np.random.default_rng(4))
    assert one != ComposedBinary(BITS).fit(x, rng=5)
