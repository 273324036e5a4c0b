"""The evidence for rerankers: recorded models, attacks on parsers, peers, cost against quality, and no LLM at all.

python tests/benchmarks/rerank [PART ...] [--cache DIR] [--questions N] [--peers DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

import parts  # noqa: E402  # from the folder above

PARTS = ("replay", "labels", "attack", "peers", "judges", "vectors", "maxsim", "e2rank", "cutoff")

if __name__ == "__main__":
    arguments = parts.options(__doc__, FOLDER, PARTS)
    arguments.add_argument(
        "--peers", type=Path, metavar="DIR", help="virtual environment with the other libraries; made where missing"
    )
    arguments.add_argument(
        "--set",
        action="append",
        metavar="NAME",
        help="for vectors, maxsim, e2rank and cutoff: only this set, more than once for several",
    )
    parts.run(arguments)
