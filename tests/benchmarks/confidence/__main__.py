"""The evidence for confidence: which embedding, which answer, and when to give none.

python tests/benchmarks/confidence [PART ...] [--cache DIR] [--questions N]
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

import parts  # noqa: E402  # from the folder above

PARTS = ("runs", "questions", "answers")

if __name__ == "__main__":
    parts.run(parts.options(__doc__, FOLDER, PARTS))
