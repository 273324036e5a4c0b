"""Work: bars only on request; checkpoints that come back as they were, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from octant.errors import ArtifactError, InputError, NotFittedError
from octant.quantizers.native import Float32
from octant.representation import quantizer
from octant.work import QUIET, Work, fingerprint

ARRAYS = {
    "decoder": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bits": np.array([[True, False]]),
    "round": np.asarray(3),
    "codes": np.arange(4, dtype=np.uint8)[::2],
}


def same(one, other):
    return set(one) == set(other) and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


def test_steps_pass_through_with_and_without_a_bar(capsys):
    assert list(Work().steps(iter("abc"), what="rounds")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
    assert list(Work(progress=True).steps(range(5, 8), what="rounds", total=8, first=5)) == [5, 6, 7]
    shown = capsys.readouterr().err
    assert "rounds" in shown
    assert "8/8" in shown


def test_a_checkpoint_comes_back_as_it_was_until_it_is_done(tmp_path):
    folder = tmp_path / "made" / "when needed"
    assert Work(checkpoint=folder).restore("ab") is None
    assert not folder.exists()
    Work(checkpoint=folder).save("ab", {"round": np.asarray(1)})
    Work(checkpoint=str(folder)).save("ab", ARRAYS)
    assert same(Work(checkpoint=folder).restore("ab"), ARRAYS)
    assert len(list(folder.iterdir())) == 1
    Work(checkpoint=folder).done("ab")
    assert Work(checkpoint=folder).restore("ab") is None
    assert list(folder.iterdir()) == []
    Work(checkpoint=folder).done("ab")


def test_without_a_folder_nothing_is_kept():
    assert not QUIET.keeps
    QUIET.save("ab", ARRAYS)
    assert QUIET.restore("ab") is None
    QUIET.done("ab")


def test_keys_and_parts_do_not_meet(tmp_path):
    work = Work(checkpoint=tmp_path)
    work.save("ab", ARRAYS)
    for other in (work.part("0.pca"), work.part("0.pca").part("1")):
        assert other.restore("ab") is None
    assert work.restore("cd") is None
    work.part("0.pca").save("ab", {"round": np.asarray(9)})
    assert same(work.restore("ab"), ARRAYS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"not safetensors at all",
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    work = Work(checkpoint=tmp_path)
    work.save("ab", ARRAYS)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError, match=rf"{path.name} is damaged .*: delete it, and the fit starts from the beg"):
        work.restore("ab")


def test_a_checkpoint_of_another_key_is_refused(tmp_path):
    work = Work(checkpoint=tmp_path)
    work.save("ab", ARRAYS)
    (path,) = tmp_path.iterdir()
    path.rename(path.with_name(path.name.replace("ab", "cd")))
    with pytest.raises(ArtifactError, match="its content is not what was written"):
        work.restore("cd")


def test_a_folder_that_cannot_be_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="checkpoint is a folder to keep checkpoints in, got the file"):
        Work(checkpoint=tmp_path / "file")
    with pytest.raises(ArtifactError, match=r"cannot be written .*: free space there, or name another folder"):
        Work(checkpoint=tmp_path / "file" / "under").save("ab", ARRAYS)


def test_a_fingerprint_tells_everything_apart_that_decides_a_fit():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)

    def print_of(codec="binary(8)", seed=0, x=x, queries=None):
        rng = np.random.default_rng(seed)
        found = fingerprint(codec, rng, x, queries)
        assert rng.integers(100) == np.random.default_rng(seed).integers(100)
        return found

    assert print_of() == print_of()
    others = [
        print_of(codec="binary(16)"), print_of(seed=1), print_of(x=x + 1), print_of(x=x.T), print_of(queries=x),
        print_of(x=x.reshape(3, 2)), print_of(x=x.view(np.int32)),
    ]  # fmt: skip
    assert len({print_of(), *others}) == 1 + len(others)


# -- what codecs do with it ----------------------------------------------------------------------


class Slow(Float32):
    """Learns the sum of its vectors, one at a time, and can be stopped at any."""

    name = "slow"
    state_names = ("total",)

    def __init__(self, stop=None):
        self.stop = stop
        self.seen = []

    def _learn(self, x, queries, rng, work):
        key = fingerprint("slow", rng, x, queries)
        left = work.restore(key) or {"next": np.asarray(0), "total": np.zeros(x.shape[1], np.float32)}
        total, first = left["total"], int(left["next"])
        for row in work.steps(range(first, len(x)), what="slow", total=len(x), first=first):
            if row == self.stop:
                raise KeyboardInterrupt
            self.seen.append(row)
            total = total + x[row]
            work.save(key, {"next": np.asarray(row + 1), "total": total})
        work.done(key)
        return {"total": total}

    def _continue(self, x, queries, rng, work):
        return {"total": self.total_ + x.sum(0)}


def test_a_fit_that_was_stopped_resumes_where_it_was(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    stopped = Slow(stop=5)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(x, work=Work(checkpoint=tmp_path))
    assert not stopped.fitted
    assert list(tmp_path.iterdir()) != []
    resumed = Slow()
    resumed.fit(x, work=Work(checkpoint=tmp_path))
    assert resumed.seen == [5, 6, 7, 8]
    np.testing.assert_array_equal(resumed.total_, Slow().fit(x).total_)
    assert list(tmp_path.iterdir()) == []


def test_another_fit_does_not_go_on_from_it(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    with pytest.raises(KeyboardInterrupt):
        Slow(stop=5).fit(x, work=Work(checkpoint=tmp_path))
    for data, seed, queries in [(x + 1, 0, None), (x, 1, None), (x, 0, x)]:
        codec = Slow()
        codec.fit(data, rng=seed, queries=queries, work=Work(checkpoint=tmp_path))
        assert codec.seen == list(range(9))


def test_every_link_of_a_chain_has_checkpoints_of_its_own(tmp_path):
    chain = quantizer("pca(2)|float32")
    chain.coder = Slow(stop=5)
    chain.coder.blank = lambda: chain.coder
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    with pytest.raises(KeyboardInterrupt):
        chain.fit(x, work=Work(checkpoint=tmp_path))
    assert not chain.fitted
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("fit.1.slow.")
    chain.coder.stop = None
    chain.fit(x, work=Work(checkpoint=tmp_path))
    assert chain.coder.seen == list(range(9))


def test_partial_fit_starts_from_what_was_learned():
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    codec = Slow()
    with pytest.raises(NotFittedError, match="has to learn from vectors first"):
        codec.partial_fit(x)
    codec.fit(x[:6]).partial_fit(x[6:])
    np.testing.assert_allclose(codec.total_, x.sum(0), atol=1e-6)


def test_partial_fit_of_a_chain_leaves_its_reducers_alone():
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    chain = quantizer("pca(2)|float32")
    chain.coder = Slow()
    chain.fit(x[:6])
    reducer, before = chain.reducers[0], chain.coder.total_.copy()
    chain.partial_fit(x[6:])
    assert chain.reducers == (reducer,)
    np.testing.assert_allclose(chain.coder.total_, before + reducer.encode(x[6:]).sum(0), atol=1e-6)


@pytest.mark.parametrize("spec", ["pca(2)", "pca(2)|turbo4", "turbo8"])
def test_a_codec_that_cannot_continue_says_so(spec):
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    chain = quantizer(spec).fit(x)
    before = chain.encode(x)
    with pytest.raises(InputError, match=r"cannot continue a fit: call fit with all vectors, old and new"):
        chain.partial_fit(x)
    np.testing.assert_array_equal(chain.encode(x), before)
