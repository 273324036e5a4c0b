"""What import-linter cannot say: adapters use only the names that ``octant`` exports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import octant

ADAPTERS = ["octant_langchain"]


def names_of_octant(source: str) -> Iterator[str]:
    """Every name that ``source`` takes from octant, dotted: ``"records.Candidate"`` for a submodule's."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.level == 0
            and node.module
            and node.module.split(".")[0] == "octant"
        ):
            inside = node.module.split(".")[1:]
            yield from (".".join([*inside, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("octant."))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "octant":
            yield node.attr


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_use_public_names_only(adapter: str, root: Path) -> None:
    files = sorted((root / "adapters" / adapter).rglob("*.py"))
    assert files
    used = {name for file in files for name in names_of_octant(file.read_text(encoding="utf-8"))}
    assert used, f"{adapter} uses nothing of octant: is the check blind?"
    assert used - set(octant.__all__) == set()


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("from octant.collection import Collection", ["collection.Collection"]),
        ("from octant import Collection", ["Collection"]),
        ("import octant.store.edge", ["store.edge"]),
        ("import octant\noctant.layout", ["layout"]),
        ("from octant_langchain import OctantRetriever\nfrom .octant import x", []),
    ],
)
def test_the_check_sees_every_way_in(source: str, used: list[str]) -> None:
    assert list(names_of_octant(source)) == used
