"""How sure a generated answer is, which of several to give, when to stop generating, and when to give none."""

from octant.confidence.abstention import WORDING
from octant.confidence.answer_selector import WITHOUT_LOGPROBS, AnswerSelector
from octant.confidence.calibrating import AnswerCalibration, calibrate_answers
from octant.confidence.cascade import Cascade, CascadeCurve, answering, cascade_curve, check_cascade
from octant.confidence.distributions import Distributions
from octant.confidence.generation import Abstention, ChosenAnswer, Generation
from octant.confidence.metrics import (
    METRICS,
    Metric,
    average_logprob,
    distributional_perplexity,
    entropy,
    gini,
    metric,
    quantile_logprob,
    self_certainty,
    total_logprob,
)
from octant.confidence.reading import read_distributions, read_generate_output, refuses_logprobs
from octant.confidence.voting import Vote, majority_vote, normalised, semantic_agreement

__all__ = [
    "METRICS",
    "WITHOUT_LOGPROBS",
    "WORDING",
    "Abstention",
    "AnswerCalibration",
    "AnswerSelector",
    "Cascade",
    "CascadeCurve",
    "ChosenAnswer",
    "Distributions",
    "Generation",
    "Metric",
    "Vote",
    "answering",
    "average_logprob",
    "calibrate_answers",
    "cascade_curve",
    "check_cascade",
    "distributional_perplexity",
    "entropy",
    "gini",
    "majority_vote",
    "metric",
    "normalised",
    "quantile_logprob",
    "read_distributions",
    "read_generate_output",
    "refuses_logprobs",
    "self_certainty",
    "semantic_agreement",
    "total_logprob",
]
