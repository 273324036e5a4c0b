"""Compresses a collection of a directory; run as a script, by a process that kills it.

Usage: python compress_child.py DIRECTORY ORDER, ORDER being the keyword arguments of octant.compress as JSON.
The last line on standard output is the report as JSON.
"""

from __future__ import annotations

import json
import sys

import octant

if __name__ == "__main__":
    directory, order = sys.argv[1], json.loads(sys.argv[2])
    report = octant.compress("docs", location=directory, **order)
    print(json.dumps(report.as_json()), flush=True)
