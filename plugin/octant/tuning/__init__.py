"""Choose how to store and search a collection by measuring it on its own data."""

from octant.tuning.run import study, tune
from octant.tuning.study import Candidate, Goal, Study, Trial

__all__ = ["Candidate", "Goal", "Study", "Trial", "study", "tune"]
