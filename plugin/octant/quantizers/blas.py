"""Linear algebra on one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_ALONE = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread inside, also as a decorator; not to be nested.

    Products of small matrices, and decompositions of a few hundred rows, are split among threads that wait for each
    other by spinning: where cores are shared with other processes, that takes many times as long as one thread does.
    With one thread sums also have one order on any number of cores, so that the same seed gives the same codes.

    The number of BLAS threads belongs to the process, and what one thread saved another must not restore: one at a
    time is inside.
    """
    with _ALONE, threadpool_limits(limits=1, user_api="blas"):
        yield
