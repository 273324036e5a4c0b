"""``__all__`` is exactly what a reader sees, and the version is the same wherever it is written."""

from __future__ import annotations

import importlib
import re
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ["octant", "octant_langchain"]


def visible(module: ModuleType) -> set[str]:
    """Public names of ``module``, submodules and ``from __future__`` aside."""
    names = {name for name in dir(module) if not name.startswith("_") and name != "annotations"}
    return {name for name in names if not isinstance(getattr(module, name), ModuleType)}


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_is_visible(name: str) -> None:
    module = importlib.import_module(name)
    listed = {
        entry
        for entry in module.__all__
        if not entry.startswith("_") and not isinstance(getattr(module, entry), ModuleType)
    }
    assert visible(module) == listed


@pytest.mark.parametrize("name", PACKAGES)
def test_all_names_each_thing_once(name: str) -> None:
    listed = list(importlib.import_module(name).__all__)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_class_and_function_says_what_it_is_for(name: str) -> None:
    module = importlib.import_module(name)
    silent = [
        entry for entry in visible(module) if callable(getattr(module, entry)) and not getattr(module, entry).__doc__
    ]
    assert silent == []


def test_the_version_is_one(root: Path) -> None:
    octant = importlib.import_module("octant")
    project = (root / "pyproject.toml").read_text()
    changes = re.search(r"^## \[?v?(\d+\.\d+\.\d+\S*?)\]?(?:\s|$)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert 'dynamic = ["version"]' in project
    assert 'path = "plugin/octant/version.py"' in project
    assert changes is not None, "CHANGELOG.md needs a heading such as '## 0.1.0'"
    assert octant.__version__ == changes[1] == metadata.version("qdrant-octant")


def test_change_lines_open_with_a_known_word(root: Path) -> None:
    lines = re.findall(r"^[-*] (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert lines
    assert set(lines) <= {"Added", "Changed", "Fixed", "Removed"}


def test_warnings_are_errors() -> None:
    with pytest.raises(UserWarning, match="seen"):
        warnings.warn("seen", stacklevel=1)
