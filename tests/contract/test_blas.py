"""BLAS is kept to one thread while somebody is inside, and only then."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from octant.quantizers import binary_fit, binary_start
from octant.quantizers.blas import one_thread


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def _two_threads():
    with threadpool_limits(limits=2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("this BLAS has one thread only")
        yield


def test_one_thread_inside_and_as_many_as_before_outside() -> None:
    for _ in range(2):
        with one_thread():
            assert threads() == {1}
        assert threads() == {2}


def test_an_error_gives_the_threads_back() -> None:
    with pytest.raises(ValueError, match="inside"), one_thread():
        raise ValueError("inside")
    assert threads() == {2}


def test_who_comes_second_waits() -> None:
    entered = threading.Event()

    def second() -> None:
        with one_thread():
            entered.set()

    with one_thread():
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(120)
    thread.join(120)
    assert threads() == {2}


def test_a_start_of_binary_codes_keeps_to_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    original = binary_start._directions
    monkeypatch.setattr(binary_start, "_directions", lambda *args: (seen.append(threads()), original(*args))[1])
    x = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    binary_fit.learn(x, None, 8, np.random.default_rng(0))
    assert seen
    assert set().union(*seen) == {1}
    assert threads() == {2}
