"""Scores into probabilities, and how far those can be believed."""

from octant.calibration.calibrators import Calibrator, fit_calibrator
from octant.calibration.diagram import reliability_svg, reliability_text, save_reliability
from octant.calibration.logistic import Logistic, fit_logistic
from octant.calibration.measures import (
    Bin,
    RiskCoverage,
    area_under_roc,
    brier_score,
    expected_calibration_error,
    reliability,
    risk_coverage,
)

__all__ = [
    "Bin",
    "Calibrator",
    "Logistic",
    "RiskCoverage",
    "area_under_roc",
    "brier_score",
    "expected_calibration_error",
    "fit_calibrator",
    "fit_logistic",
    "reliability",
    "reliability_svg",
    "reliability_text",
    "risk_coverage",
    "save_reliability",
]
