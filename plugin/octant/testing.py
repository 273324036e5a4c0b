"""The contracts of a quantizer, a reranker and a selector, as checks that any plugin can run on itself."""

from __future__ import annotations

import json

import numpy as np

from octant import artifact
from octant.assemble import quantizer_class
from octant.errors import NotFittedError, OctantError, PluginError, VectorValueError
from octant.promises import must, must_raise
from octant.quantizers.base import Quantizer, SecondCopy
from octant.quantizers.chain import Chain
from octant.quantizers.native import Float32
from octant.records import CodeArray, Distance, FloatArray
from octant.representation import Representation
from octant.rerankers.check import check_reranker
from octant.selectors.check import check_selector
from octant.vectors import similarity, unit_rows

__all__ = ["check_quantizer", "check_reranker", "check_selector"]


def check_quantizer(quantizer: Quantizer, *, dim: int = 64, n: int = 600, seed: int = 0) -> None:
    """Check that ``quantizer`` keeps the contract of :class:`octant.quantizers.Quantizer`.

    It is fitted, encodes and decodes synthetic unit vectors, and is rebuilt from config and state; the object
    passed in is left as it was.

    Parameters
    ----------
    quantizer : Quantizer
        Fitted or not; only its configuration is used.
    dim : int
        Coordinates of the vectors to try it on.
    n : int
        How many vectors.
    seed : int
        Of the vectors and of the fit.

    Raises
    ------
    AssertionError
        Saying which part of the contract is broken.

    Examples
    --------
    >>> from octant import quantizer
    >>> check_quantizer(quantizer("pca(16)|float8"))
    """
    x, q = _vectors(dim, n, seed)
    fitted = _check_fit(quantizer, x, seed)
    codes = _check_codes(fitted, x)
    _check_determinism(fitted, x, codes, seed)
    _check_training_queries(fitted, x, q, seed)
    _check_refusals(fitted, x)
    _check_persistence(fitted, x, codes)
    for distance in (member for member in Distance if member in fitted.distances):
        if _keeps(fitted, distance):
            _check_queries(fitted, x, q, codes, distance)


def _vectors(dim: int, n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Unit vectors in clusters, and queries near some of them: neighbours exist, as among embeddings."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(20, dim)) + 0.3
    x = centers[rng.integers(20, size=n)] + 0.5 * rng.normal(size=(n, dim))
    q = x[: min(n, 20)] + 0.5 * rng.normal(size=(min(n, 20), dim))
    return unit_rows(x.astype(np.float32)), unit_rows(q.astype(np.float32))


def _check_fit(quantizer: Quantizer, x: FloatArray, seed: int) -> Quantizer:
    blank = quantizer.blank()
    must(type(blank) is type(quantizer), f"{quantizer!r}.blank() must give its own kind, got {type(blank)}")
    must(repr(blank) == repr(quantizer), f"{quantizer!r} must be rebuilt from its config, got {blank!r}")
    if blank.learns:
        must_raise(NotFittedError, lambda: blank.encode(x), f"{blank!r} must refuse to encode before fit")
    before = x.copy()
    returned = blank.fit(x, rng=seed)
    must(returned is blank, f"{blank!r}.fit must return the codec itself")
    must(blank.fitted, f"{blank!r} must be fitted after fit: every name of state_names needs its array")
    must(np.array_equal(x, before), f"{blank!r}.fit must not change the vectors it learns from")
    return blank


def _check_codes(fitted: Quantizer, x: FloatArray) -> CodeArray:
    before = x.copy()
    codes = fitted.encode(x)
    must(np.array_equal(x, before), f"{fitted!r}.encode must not change the vectors")
    must(codes.dtype in (np.float32, np.uint8), f"{fitted!r} codes must be float32 or uint8, got {codes.dtype}")
    must(codes.ndim == 2, f"{fitted!r} codes must have shape (n, width), got {codes.shape}")
    must(len(codes) == len(x), f"{fitted!r} must give one code a vector, got {len(codes)} for {len(x)}")
    width = fitted.storage(x.shape[1], _distance(fitted)).width
    must(width == codes.shape[1], f"{fitted!r} asks to store {width} coordinates, but codes have {codes.shape[1]}")
    kept = codes.copy()
    decoded = fitted.decode(codes)
    must(np.array_equal(codes, kept), f"{fitted!r}.decode must not change the codes")
    must(decoded.dtype == np.float32, f"{fitted!r} must decode to float32, got {decoded.dtype}")
    must(decoded.shape == x.shape, f"{fitted!r} must decode to the shape of the vectors {x.shape}, got {decoded.shape}")
    must(np.isfinite(decoded).all(), f"{fitted!r} must decode to finite numbers")
    # Not the codes: a matrix product of another shape may round a coordinate to the next level.
    alone = fitted.decode(fitted.encode(x[0]))[0]
    must(np.linalg.norm(alone - decoded[0]) < 0.05, f"{fitted!r} must encode a vector alone as in a batch")
    return codes


def _check_determinism(fitted: Quantizer, x: FloatArray, codes: CodeArray, seed: int) -> None:
    again = fitted.blank().fit(x, rng=seed)
    must(again == fitted, f"{fitted!r} fitted twice with one seed must be equal")
    must(np.array_equal(again.encode(x), codes), f"{fitted!r}: same seed and data must give the same codes")


def _check_training_queries(fitted: Quantizer, x: FloatArray, q: FloatArray, seed: int) -> None:
    if not fitted.learns or any(link.weighs_queries for link in _chain(fitted).links):
        return
    again = fitted.blank().fit(x, queries=q, rng=seed)
    must(again == fitted, f"{fitted!r} learned something from queries: it must say so with weighs_queries = True")


def _check_refusals(fitted: Quantizer, x: FloatArray) -> None:
    bad = x[:3].copy()
    bad[1, 0] = np.nan
    must_raise(VectorValueError, lambda: fitted.encode(bad), f"{fitted!r} must refuse to encode NaN")
    must_raise(VectorValueError, lambda: fitted.fit(bad), f"{fitted!r} must refuse to learn from NaN")
    must(fitted.fitted, f"{fitted!r}: a fit that failed must leave the codec as it was")


def _check_persistence(fitted: Quantizer, x: FloatArray, codes: CodeArray) -> None:
    config = json.loads(json.dumps(fitted.config))
    must(config == fitted.config, f"{fitted!r}.config must survive JSON, got {config}")
    if not isinstance(fitted, Chain):
        rebuilt = type(fitted).restore(config, fitted.state)
        must(rebuilt == fitted, f"{fitted!r}: config and state must rebuild an equal codec")
        must(np.array_equal(rebuilt.encode(x), codes), f"{fitted!r}: a rebuilt codec must give the same codes")
    for link in _chain(fitted).links:
        must(
            _registered(link),
            f"{link!r}: its package must register {link.name!r} as an entry point in octant.quantizers, so that an "
            f"artifact can find {type(link).__name__} by that name",
        )
    data = artifact.dump(Representation(_chain(fitted)), x.shape[1])
    restored, dim = artifact.load(data)
    must(dim == x.shape[1], f"{fitted!r}: its artifact must keep the dimension")
    must(restored.coarse == _chain(fitted), f"{fitted!r} must come back from its artifact as it was")
    must(artifact.dump(restored, dim) == data, f"{fitted!r}: equal codecs must give equal artifacts")


def _check_queries(fitted: Quantizer, x: FloatArray, q: FloatArray, codes: CodeArray, distance: Distance) -> None:
    before = q.copy()
    coded = fitted.encode_query(q, distance)
    must(np.array_equal(q, before), f"{fitted!r}.encode_query must not change the queries")
    shapes = (coded.vectors.shape, coded.scale.shape, coded.offset.shape)
    needs = fitted.storage(x.shape[1], distance)
    if not needs.scored:
        return  # bytes: nobody compares them with a query before they are decoded
    wanted = ((len(q), codes.shape[1]), (len(q),), (len(q),))
    must(shapes == wanted, f"{fitted!r} queries must have the shapes {wanted}, got {shapes}")
    raw = _raw(coded.vectors, np.asarray(codes, np.float32), needs.metric)
    true = _raw(q, x, distance)
    linear = all(link.linear for link in _chain(fitted).links)
    # A reducer that bends the space has no decoded vector to agree with: its scores answer to the true ones.
    judge, least = (similarity(q, fitted.decode(codes), needs.metric), 0.98) if linear else (true, 0.3)
    agreement = _rank_correlation(raw, judge)
    must(
        agreement > least,
        f"{fitted!r} under {distance.value}: scores of encode_query against codes must order points as the query "
        f"against the {'decoded codes' if linear else 'vectors'} does; their rank correlation is {agreement:.3f}",
    )
    estimate = coded.scale[:, None] * raw + coded.offset[:, None]
    error, spread = float(np.abs(estimate - true).mean()), float(np.abs(true - true.mean()).mean())
    must(
        error < 2 * spread,
        f"{fitted!r} under {distance.value}: scale * raw + offset must estimate the similarity of the vectors; "
        f"its mean error is {error:.3g} where that of always answering the mean is {spread:.3g}",
    )
    if not linear:
        _check_calibration(fitted, estimate, true, distance)


def _check_calibration(fitted: Quantizer, estimate: FloatArray, true: FloatArray, distance: Distance) -> None:
    """Of the points found, too, the estimates must be right on average: thresholds and fusion read those."""
    best = np.argsort(-estimate, axis=1)[:, : max(1, estimate.shape[1] // 50)]
    found, meant = (np.take_along_axis(scores, best, axis=1) for scores in (estimate, true))
    bias, spread = float((found - meant).mean()), float(true.std())
    must(
        abs(bias) < 0.75 * spread,
        f"{fitted!r} under {distance.value}: the estimates of what is found must be right on average; they are off by "
        f"{bias:.3g} where similarities differ by {spread:.3g}: calibrate at fit (octant.quantizers.calibration)",
    )


def _raw(q: FloatArray, x: FloatArray, metric: Distance) -> FloatArray:
    """What an engine computes, as :class:`octant.records.EncodedQueries` defines it."""
    if metric is Distance.COSINE:
        return similarity(unit_rows(q), unit_rows(x), metric)
    scores = similarity(q, x, metric)
    return -(scores**2) if metric is Distance.EUCLID else scores


def _rank_correlation(one: FloatArray, other: FloatArray) -> float:
    """Mean Spearman correlation between the rows of two matrices of scores (m, n)."""
    ranks = [np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1) for scores in (one, other)]
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*ranks, strict=True)]))


def _distance(fitted: Quantizer) -> Distance:
    return next(member for member in Distance if _keeps(fitted, member))


def _keeps(fitted: Quantizer, distance: Distance) -> bool:
    try:
        fitted.check_distance(distance)
    except OctantError:
        return False
    return True


def _chain(fitted: Quantizer) -> Chain:
    """``fitted`` as a collection would hold it."""
    if isinstance(fitted, Chain):
        return fitted
    if isinstance(fitted, SecondCopy):
        return Chain((), Float32(), fitted)
    return Chain((fitted,), Float32()) if fitted.role == "reduce" else Chain((), fitted)


def _registered(link: Quantizer) -> bool:
    try:
        return quantizer_class(link.name) is type(link)
    except PluginError:
        return False
