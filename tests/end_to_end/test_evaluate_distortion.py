"""What an evaluation says of learned codes: their error on documents no fit has seen, next to theory's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from octant import evaluate, quantizer
from octant.datasets import hold_out
from octant.distortion import gaussian_bound
from octant.quantizers.reduce import PCA
from octant.representation import Representation

LEARNED = ["binary(16)", "pca(4)|uint8", "coarse=pca(4)|uint8; fine=turbo8"]


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    spread = 1 / np.arange(1, 25)
    x = (rng.normal(size=(600, 24)) * spread + 0.3).astype(np.float32)
    return hold_out("spread", [str(i) for i in range(600)], x)


@pytest.fixture(scope="module")
def unit(vectors):
    return vectors.documents / np.linalg.norm(vectors.documents, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def report(vectors):
    return evaluate(vectors, [*LEARNED, "pca(4)|turbo4", "turbo8"], rounds=1)


def test_learned_codes_are_compared_with_the_bound_of_their_bits(report, unit):
    eigenvalues = np.linalg.eigvalsh(np.cov(unit, rowvar=False, bias=True))
    for spec, bits in zip(LEARNED, (16, 32, 32), strict=True):
        lost = report[spec].distortion
        assert lost.bits == bits
        assert lost.bound == pytest.approx(gaussian_bound(eigenvalues, bits) / eigenvalues.sum(), rel=1e-3)
        assert lost.bound < lost.squared_error < 1


def test_the_error_is_that_of_documents_held_out_of_the_fit(report, unit):
    """The oracle: the same tenth left out, the same fit, decoded and subtracted."""
    unseen = np.sort(np.random.default_rng(0).permutation(len(unit))[: len(unit) // 10])
    codec = quantizer("pca(4)|uint8").fit(np.delete(unit, unseen, axis=0), rng=0)
    error = np.square(unit[unseen] - codec.decode(codec.encode(unit[unseen]))).sum(axis=1).mean()
    assert report["pca(4)|uint8"].distortion.squared_error == pytest.approx(error / unit.var(axis=0).sum(), rel=1e-4)


def test_no_fit_sees_what_tells_its_error(vectors, unit, monkeypatch):
    learned, judged = [], []
    fit, encode = PCA._fit, PCA._encode
    monkeypatch.setattr(PCA, "_fit", lambda self, x, *rest: (learned.append(x), fit(self, x, *rest))[1])
    monkeypatch.setattr(PCA, "_encode", lambda self, x: (judged.append(np.array(x)), encode(self, x))[1])
    evaluate(vectors, "pca(4)|uint8", rounds=1)
    held = [x for x in judged if len(x) == len(unit) // 10]
    assert len(learned) == len(held) == 1
    assert (learned[0] @ held[0].T).max() < 1 - 1e-7
    assert len(learned[0]) == len(unit) - len(held[0])


def test_codes_that_qdrant_makes_are_not_judged_and_learn_from_all(vectors, unit, monkeypatch):
    seen, original = [], Representation.fit
    monkeypatch.setattr(
        Representation, "fit", lambda self, x, **rest: (seen.append(len(x)), original(self, x, **rest))[1]
    )
    report = evaluate(vectors, ["pca(4)|turbo4", "turbo8"], rounds=1)
    assert max(seen) == len(unit)
    assert [row.distortion for row in report.rows] == [None] * 3


def test_too_few_documents_all_go_to_the_fit():
    data = hold_out(
        "few", [str(i) for i in range(24)], np.random.default_rng(0).normal(size=(24, 8)).astype(np.float32)
    )
    report = evaluate(data, "binary(22)", rounds=1)
    assert report["binary(22)"].distortion is None


def test_json_and_table_say_it(report, vectors):
    rows = {row["represent"]: row for row in json.loads(json.dumps(report.as_json()))["rows"]}
    assert set(rows["binary(16)"]["distortion"]) == {"bits", "squared_error", "bound"}
    assert rows["turbo8"]["distortion"] is None
    assert rows["turbo8"]["code_bytes_per_vector"] == report["turbo8"].components["searched codes"]
    lines = {line.split()[0]: line.split() for line in report.table().splitlines()}
    assert " ".join(lines["represent"]).endswith("code B/vec error bound")
    assert lines["binary(16)"][-1] == f"{report['binary(16)'].distortion.bound:.4f}"
    assert lines["turbo8"][-2:] == ["-", "-"]
    assert "bound" not in evaluate(vectors, "turbo8", rounds=1).table()
