"""A progress bar on standard error, where somebody asked for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, *, title: str, unit: str, show: bool) -> Iterator[Callable[[int], object] | None]:
    """What to call with the number of units just done; None where nothing is shown.

    Examples
    --------
    >>> with progress_bar(3, title="index", unit="doc", show=False) as advance:
    ...     print(advance)
    None
    """
    if not show:
        yield None
        return
    from tqdm import tqdm  # dear to import, and most callers want no bar

    with tqdm(total=total, desc=title, unit=unit) as bar:
        yield bar.update
