"""Gradient descent with torch: one training loop for every codec and reranker that learns by it.

It is seeded, stops early on held-out recall, keeps the best state it saw, and resumes where it was interrupted, to the
same last bit on one CPU. torch is imported by the functions here, never by the module.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from octant.errors import MissingExtraError, VectorValueError
from octant.records import FloatArray
from octant.work import Work

if TYPE_CHECKING:
    import torch

_WARM_UP = 20
_LONGEST_STEP = 1.0


class Learner(Protocol):
    """What :func:`train` trains.

    Attributes
    ----------
    rows : int
        Examples to draw batches from.
    parameters : dict of Tensor
        What the optimizer changes.
    buffers : dict of Tensor
        What the learner itself changes as it goes: running moments, a queue of negatives. Changed in place or
        replaced by tensors of the same shape.
    """

    rows: int
    parameters: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]

    def loss(self, rows: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        """Loss () of the batch of examples at ``rows`` (batch,); all other randomness comes from ``noise``."""

    def quality(self) -> float:
        """What the present state reaches on held-out examples, recall or nDCG as a rule; higher is better."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes
    ----------
    steps : int
        Batches at most.
    batch : int
        Examples in a batch, or all there are.
    rate : float
        Largest learning rate, relative to the size of a parameter at the start; it rises over the first steps and
        falls to nothing along a cosine.
    looks : int
        How many times held-out quality is measured over all steps.
    patience : int
        Looks without a gain after which training stops.
    """

    steps: int
    batch: int = 256
    rate: float = 1e-2
    looks: int = 15
    patience: int = 5

    @property
    def every(self) -> int:
        """Steps between two looks."""
        return max(1, self.steps // self.looks)

    def rate_at(self, step: int) -> float:
        """The learning rate of ``step``."""
        warm = min(1.0, (step + 1) / _WARM_UP)
        return float(self.rate * warm * 0.5 * (1 + np.cos(np.pi * step / self.steps)))


def need_torch(feature: str) -> None:
    """Refuse to go on where torch is not installed.

    Raises
    ------
    MissingExtraError
        With the line that installs it.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(f"training {feature}", module="torch", extra="train")


def device() -> torch.device:
    """The GPU where there is one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tensor(array: NDArray[Any]) -> torch.Tensor:
    """A copy of ``array`` on :func:`device`."""
    import torch

    return torch.tensor(array, device=device())


def arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    """Copies of ``tensors`` for numpy."""
    return {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}


def train(learner: Learner, schedule: Schedule, *, what: str, seed: int, key: str, work: Work) -> dict[str, FloatArray]:
    """Train, and return the parameters and buffers of the best quality on held-out examples.

    The state before the first step competes too, so a start that is good already is never made worse. A training that
    is finished stays in the checkpoint until ``work.done(key)``: a fit of several parts does not train one twice.

    Parameters
    ----------
    learner : Learner
    schedule : Schedule
    what : str
        What is trained, for the progress bar and messages.
    seed : int
    key : str
        From :func:`octant.work.fingerprint`.
    work : Work

    Raises
    ------
    VectorValueError
        If the loss is not a finite number; it names the step and what to change.
    """
    run = _Run(learner, schedule, seed)
    kept = work.restore(key)
    if kept is None:
        run.look()
    else:
        run.resume(kept)
    for step in work.steps(range(run.step, schedule.steps), total=schedule.steps, first=run.step, what=what):
        if run.over:
            break
        run.advance(step, what)
        if run.step % schedule.every == 0 or run.step == schedule.steps:
            run.look()
            work.save(key, run.arrays())
    return run.best


class _Run:
    """One training under way: everything that decides how it goes on."""

    def __init__(self, learner: Learner, schedule: Schedule, seed: int) -> None:
        import torch

        self.learner, self.schedule = learner, schedule
        self.generator = torch.Generator().manual_seed(seed)
        # Adam's steps know no scale: maps to codes and back differ by a factor of many in theirs.
        self.scales = [_scale(parameter) for parameter in learner.parameters.values()]
        self.optimizer = torch.optim.AdamW([{"params": [one]} for one in learner.parameters.values()], weight_decay=0)
        self.step = self.stale = 0
        self.quality = -np.inf
        self.best: dict[str, FloatArray] = {}

    @property
    def over(self) -> bool:
        return self.stale >= self.schedule.patience

    def advance(self, step: int, what: str) -> None:
        import torch

        for group, scale in zip(self.optimizer.param_groups, self.scales, strict=True):
            group["lr"] = self.schedule.rate_at(step) * scale
        order = torch.randperm(self.learner.rows, generator=self.generator)[: self.schedule.batch]
        loss = self.learner.loss(order, self.generator)
        if not bool(torch.isfinite(loss)):
            raise VectorValueError(
                f"the loss of {what} is not finite at step {step + 1} of {self.schedule.steps}: scale the vectors to "
                "about unit length, leave out rows of zeros, or train at a lower rate"
            )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.learner.parameters.values()), _LONGEST_STEP)
        self.optimizer.step()
        self.step = step + 1

    def look(self) -> None:
        import torch

        with torch.no_grad():
            quality = self.learner.quality()
        if quality > self.quality:
            self.quality, self.stale = quality, 0
            self.best = arrays({**self.learner.parameters, **self.learner.buffers})
        else:
            self.stale += 1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The run, as what a checkpoint keeps."""
        kept = {f"parameter.{name}": value for name, value in arrays(self.learner.parameters).items()}
        kept |= {f"buffer.{name}": value for name, value in arrays(self.learner.buffers).items()}
        kept |= {f"best.{name}": value for name, value in self.best.items()}
        for name, parameter in self.learner.parameters.items():
            kept |= {f"optimizer.{name}.{part}": v for part, v in arrays(self.optimizer.state[parameter]).items()}
        kept["generator"] = self.generator.get_state().numpy().copy()
        kept["counters"] = np.array([self.step, self.stale])
        kept["quality"] = np.array(self.quality)
        return kept

    def resume(self, kept: Mapping[str, NDArray[Any]]) -> None:
        import torch

        with torch.no_grad():
            for name, parameter in self.learner.parameters.items():
                parameter.copy_(tensor(kept[f"parameter.{name}"]))
        for name in self.learner.buffers:
            self.learner.buffers[name] = tensor(kept[f"buffer.{name}"])
        for name, parameter in self.learner.parameters.items():
            if f"optimizer.{name}.step" not in kept:  # never had a gradient
                continue
            moments = ("step", "exp_avg", "exp_avg_sq")
            state = {part: torch.tensor(kept[f"optimizer.{name}.{part}"]) for part in moments}
            # The count of steps stays where the optimizer itself keeps it: beside the CPU.
            self.optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter) for k, v in state.items()}
        self.best = {name.removeprefix("best."): v for name, v in kept.items() if name.startswith("best.")}
        self.generator.set_state(torch.tensor(kept["generator"]))
        self.step, self.stale = map(int, kept["counters"])
        self.quality = float(kept["quality"])


def _scale(parameter: torch.Tensor) -> float:
    """The size of a parameter's numbers at the start; where they are zero, that of a layer as wide as it."""
    size = float(parameter.detach().square().mean().sqrt()) if parameter.numel() else 0.0
    return size or float(1 / max(parameter.shape[-1] if parameter.ndim else 1, 1) ** 0.5)
