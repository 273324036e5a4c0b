"""``import octant`` is cheap, and brings in nothing that only some callers need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HEAVY = (
    "torch", "transformers", "sentence_transformers", "sklearn", "scipy", "qdrant_client", "grpc", "typer",
    "langchain", "langchain_core", "langchain_text_splitters", "langchain_qdrant", "octant_langchain",
)  # fmt: skip
TIMES_NUMPY = 4.0
"""Between two and three as this is written; qdrant-client alone is ten."""


def in_subprocess(code: str, environment: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@cache
def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import json, sys; print(json.dumps(list(sys.modules)))"
    return {name.split(".")[0] for name in json.loads(in_subprocess(code))}


def test_import_octant_loads_nothing_heavy() -> None:
    assert loaded_by("import octant") & set(HEAVY) == set()


def test_the_probe_sees_what_an_import_loads() -> None:
    assert {"qdrant_client", "grpc"} <= loaded_by("import qdrant_client")


def test_building_a_quantizer_loads_nothing_heavy() -> None:
    assert loaded_by("import octant; octant.quantizer('pca(4)|float8')") & set(HEAVY) == set()


@pytest.mark.parametrize("package", ["torch", "sentence_transformers", "sklearn", "langchain_qdrant"])
def test_import_octant_langchain_loads_no_extra(package: str) -> None:
    assert package not in loaded_by("import octant_langchain")


def test_import_octant_costs_little_more_than_numpy(tmp_path: Path) -> None:
    # Compiled by the first run: compiling is a cost of installing, and numpy's was paid when it was installed.
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled["PYTHONPYCACHEPREFIX"] = str(tmp_path)

    # Processor time, best of several, as a ratio: what other processes do on the machine is not octant's cost.
    def seconds(package: str) -> float:
        code = f"import time; start = time.process_time(); import {package}; print(time.process_time() - start)"
        return min(float(in_subprocess(code, compiled)) for _ in range(6))

    assert seconds("octant") < TIMES_NUMPY * seconds("numpy")


def test_importing_is_silent() -> None:
    code = "import octant, octant_langchain"
    seen = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert (seen.stdout, seen.stderr) == ("", "")
