"""What is being tried and what is best so far, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from octant.tuning.choose import cost, quality
from octant.tuning.halving import Progress
from octant.tuning.study import Goal


@contextmanager
def shown(goal: Goal, show: bool) -> Iterator[Callable[[Progress], None]]:
    """What to call before every measurement; it draws a bar for each sample if ``show``."""
    if not show:
        yield _silent
        return
    from tqdm import tqdm  # dear to import, and most callers want no bar

    with tqdm(total=0, unit="candidate", bar_format="{desc} {n_fmt}/{total_fmt} [{elapsed}]{postfix}") as bar:

        def draw(now: Progress) -> None:
            bar.total, bar.n = max(now.total, now.done), now.done
            bar.set_description_str(f"sample {now.rung} of {now.rungs}, {now.size:,} vectors", refresh=False)
            bar.set_postfix_str(f"trying {now.trying}{_best(now, goal)}")

        yield draw


def _silent(_: Progress) -> None:
    return


def _best(now: Progress, goal: Goal) -> str:
    if now.best is None:
        return ""
    figures = now.best.trial.at_full_size
    reached = f"{goal.recall} {quality(figures, goal):.3f}, {cost(figures, goal):.0f} B"
    return f"; best so far {now.best.trial.candidate.represent} ({reached})"
