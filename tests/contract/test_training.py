"""Training: it resumes to the last bit, keeps its best state, and stops where there is nothing to gain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from octant import descent
from octant.descent import Schedule, train
from octant.errors import MissingExtraError, VectorValueError
from octant.quantizers.held_out import Split
from octant.representation import quantizer
from octant.work import QUIET, Work

torch = pytest.importorskip("torch", reason="needs the extra [train]")

T = TypeVar("T")
SPECS = [
    "recurrent_binary(16, 1, residual, steps=30, hidden=8)",
    "recurrent_binary(16, 0, mlp, decoder=mlp, contrast=hard, steps=30, hidden=8, blocks=2)",
    "autoencoder(6, steps=30, hidden=8)",
]


class Stops(Work):
    """Work that is interrupted after ``after`` steps of all its parts together."""

    def __init__(self, after: int, checkpoint: Path) -> None:
        super().__init__(checkpoint=checkpoint)
        self.left = [after]

    def part(self, name: str) -> Work:
        part = Stops(0, Path())
        plain = super().part(name)
        part.__dict__.update(plain.__dict__)
        part.left = self.left
        return part

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None, first: int = 0) -> Iterator[T]:
        for item in items:
            if not self.left[0]:
                raise KeyboardInterrupt("stopped")
            self.left[0] -= 1
            yield item


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(0).normal(size=(400, 12)).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("after", [5, 33])
def test_an_interrupted_fit_ends_as_if_nothing_had_happened(spec: str, after: int, x: Any, tmp_path: Path) -> None:
    whole = quantizer(spec).fit(x, rng=3)
    codec = quantizer(spec)
    try:
        codec.fit(x, rng=3, work=Stops(after, tmp_path))
    except KeyboardInterrupt:
        assert not codec.fitted
        assert list(tmp_path.iterdir())
    codec.fit(x, rng=3, work=Work(checkpoint=tmp_path))
    assert codec == whole
    assert not list(tmp_path.iterdir()), "what is complete needs no checkpoint"


@pytest.mark.parametrize("spec", SPECS)
def test_a_resumed_fit_does_not_start_again(spec: str, x: Any, tmp_path: Path) -> None:
    whole, rest = Stops(10**6, tmp_path), Stops(10**6, tmp_path)
    quantizer(spec).fit(x, rng=3, work=whole)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        quantizer(spec).fit(x, rng=3, work=Stops(5, tmp_path))
    quantizer(spec).fit(x, rng=3, work=rest)
    # A look, and with it a checkpoint, comes every second step.
    assert rest.left[0] == whole.left[0] + 4


def test_another_seed_or_sample_never_resumes_from_it(x: Any, tmp_path: Path) -> None:
    spec = SPECS[0]
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        quantizer(spec).fit(x, rng=3, work=Stops(5, tmp_path))
    for seed, sample in ((4, x), (3, x[::-1].copy())):
        other = quantizer(spec).fit(sample, rng=seed, work=Work(checkpoint=tmp_path))
        assert other == quantizer(spec).fit(sample, rng=seed)


class Falls:
    """A learner whose quality is told beforehand, look by look."""

    def __init__(self, recalls: list[float], loss: float = 1.0) -> None:
        self.rows = 8
        self.parameters = {"w": torch.zeros(3, requires_grad=True)}
        self.buffers = {"count": torch.zeros(())}
        self.told, self.value = iter(recalls), loss

    def loss(self, rows: Any, noise: Any) -> Any:
        self.buffers["count"] = self.buffers["count"] + 1
        return (self.parameters["w"] - 1).square().sum() * self.value

    def quality(self) -> float:
        return next(self.told)


def run(learner: Falls, schedule: Schedule) -> Any:
    return train(learner, schedule, what="it", seed=0, key="k", work=QUIET)


def test_the_state_of_the_best_look_is_kept_and_training_stops_after_it() -> None:
    schedule = Schedule(steps=100, looks=10, patience=2)
    best = run(Falls([0.5, 0.6, 0.7, 0.7, 0.6]), schedule)
    assert best["count"] == 20, "the second look after the start was the best"
    assert run(Falls([0.9, 0.1, 0.1]), schedule)["count"] == 0, "the start competes"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_names_the_step_and_what_to_change(value: float) -> None:
    with pytest.raises(VectorValueError, match=r"loss of it is not finite at step 1 of 9: scale the vectors"):
        run(Falls([0.5] * 20, value), Schedule(steps=9))


def test_nothing_is_drawn_from_the_generators_of_others(x: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    quantizer(SPECS[0]).fit(x)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(np.random.get_state()[1], before)


def test_without_torch_the_line_that_installs_it_is_named(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent.importlib.util, "find_spec", lambda name: None)
    for spec in SPECS:
        codec = quantizer(spec)
        with pytest.raises(MissingExtraError, match=r"training .* needs the module 'torch'.*qdrant-octant\[train\]"):
            codec.fit(x)
        assert not codec.fitted


def test_held_out_vectors_are_not_trained_on() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    split = Split.of(x, np.random.default_rng(1))
    parts = [{row.tobytes() for row in part} for part in (split.seen, split.queries, split.points)]
    assert [len(part) for part in parts] == [800, 50, 150]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert split.recall(split.queries @ split.points.T) == 1
    assert split.recall(-split.queries @ split.points.T) < 0.2
