"""Bad input around two stages: refused, with what to do."""

from __future__ import annotations

import numpy as np
import pytest

from octant import Collection, SearchKnobs, coverage
from octant.coverage import MOST_POINTS, measure, sample_size, split
from octant.errors import ArtifactError, InputError, SpecError, StoreError
from octant.layout import HnswSettings
from octant.manifest import Manifest
from octant.oversampling import CoverageCurve
from octant.records import Distance
from octant.representation import Representation


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan")])
def test_coverage_is_a_share(share):
    with pytest.raises(InputError, match="coverage must lie between 0 and 1"):
        SearchKnobs(coverage=share)
    with pytest.raises(InputError, match="coverage must lie between 0 and 1"):
        CoverageCurve.assumed(2.0).candidates(10, 100, share)


def test_coverage_and_oversampling_say_the_same():
    with pytest.raises(InputError, match="both say how many candidates to read: give one of them"):
        SearchKnobs(coverage=0.9, oversampling=3.0)


def manifest(**changes):
    curve = CoverageCurve.assumed(4.0)
    whole = Manifest(
        "int4", Distance.COSINE, 8, None, None, "", "text", None, None, HnswSettings(), 0, "0", curve
    ).to_json()
    return {**whole, "coverage": {**whole["coverage"], **changes}}


@pytest.mark.parametrize(
    "damage",
    [
        {"slack": [1.0]},
        {"factors": [[1.0]]},
        {"factors": None},
        {"ranks": []},
        {"points": 0},
        {"targets": [0.9, "x", 0.98, 0.99, 0.995]},
        {"slack": [float("nan")] * 5},
    ],
)
def test_a_damaged_curve_is_a_damaged_manifest(damage):
    assert Manifest.from_json(manifest()).coverage == CoverageCurve.assumed(4.0)
    with pytest.raises(ArtifactError, match="the collection's manifest is damaged"):
        Manifest.from_json(manifest(**damage))


@pytest.mark.parametrize("error", [StoreError("no room"), OSError("no temporary directory")])
def test_a_fit_survives_where_nothing_can_be_measured(tmp_path, monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(coverage, "measure", refuse)
    x = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    with Collection.create("two", location=tmp_path, represent="coarse=pca(4)|turbo4; fine=int4") as c:
        assert c.fit(x).coverage is None
        c.add(vectors=x, ids=range(600))
        assert c.info().coverage.source == "assumed"
        assert c.search(x[3], k=1).ids == (3,)


def test_bytes_cannot_be_searched():
    with pytest.raises(SpecError, match="can only be the fine stage"):
        Representation.parse("coarse=int4; fine=turbo8")


def test_nothing_is_measured_where_it_says_nothing():
    x = np.random.default_rng(0).normal(size=(499, 8)).astype(np.float32)
    assert measure(Representation.parse("int4"), x, Distance.DOT, held_out=True) is None
    assert measure(Representation.parse("turbo8"), np.repeat(x, 2, axis=0), Distance.DOT, held_out=True) is None


def test_no_vector_is_kept_out_of_a_fit_that_needs_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2100, 8)).astype(np.float32)
    wide = Representation.parse("coarse=binary(2000); fine=turbo8")
    learned, unseen = split(wide, x, rng)
    assert (len(learned), unseen) == (2100, None)
    learned, unseen = split(Representation.parse("coarse=binary(16); fine=turbo8"), x, rng)
    assert (len(learned), len(unseen)) == (1680, 420)
    assert not {row.tobytes() for row in learned} & {row.tobytes() for row in unseen}


def test_what_is_kept_out_is_drawn_beside_what_is_learned_from():
    one, two = (Representation.parse(spec) for spec in ("binary(16)", "coarse=binary(16); fine=turbo8"))
    assert sample_size(one) == one.sample_size
    x = np.zeros((sample_size(two), 4), np.float32)
    learned, unseen = split(two, x, np.random.default_rng(0))
    assert (len(learned), len(unseen)) == (two.sample_size, MOST_POINTS)
    assert sample_size(Representation.parse("int4")) is None
