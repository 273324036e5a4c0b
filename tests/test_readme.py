"""Every Python block of the README runs, in order, in one namespace, or is the file it claims to show.

A block that follows ``<!-- file: PATH -->`` must be the text of that file; a block that follows
``<!-- ci: NAME -->`` is the one line that ``.ci/run`` executes under that name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import octant
import octant_langchain
from octant.config import read_config

SHOWN = {"bash", "text", "json", "toml", "yaml", "console"}
FENCE = re.compile(r"(?:^<!-- (?P<mark>[^\n]+?) -->\n+)?^```(?P<language>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    mark: str
    language: str
    body: str
    line: int


def blocks(text: str) -> list[Block]:
    return [
        Block(match["mark"] or "", match["language"], match["body"], text[: match.start("body")].count("\n") + 1)
        for match in FENCE.finditer(text)
    ]


@pytest.fixture(scope="module")
def readme(root: Path) -> list[Block]:
    return blocks((root / "README.md").read_text(encoding="utf-8"))


def test_blocks_are_found_with_their_marks_and_lines() -> None:
    text = "a\n<!-- ci: x -->\n```bash\nls\n```\n\n```python\nx = 1\n```\n"
    assert blocks(text) == [Block("ci: x", "bash", "ls\n", 4), Block("", "python", "x = 1\n", 8)]


def test_every_block_has_a_language_that_is_run_or_known(readme: list[Block]) -> None:
    unknown = [(block.line, block.language) for block in readme if block.language not in SHOWN | {"python"}]
    assert unknown == []


def test_yaml_blocks_are_configurations(readme: list[Block], tmp_path: Path) -> None:
    shown = [block.body for block in readme if block.language == "yaml"]
    assert shown, "the README shows no configuration"
    for body in shown:
        (tmp_path / "octant.yaml").write_text(body)
        assert read_config(tmp_path / "octant.yaml", {}).collection


def test_python_blocks_run_in_order(
    readme: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = [block for block in readme if block.language == "python" and not block.mark.startswith("file: ")]
    assert ran, "the README shows no Python"
    namespace: dict[str, object] = {"__name__": "readme"}
    for block in ran:
        # Blank lines in front make a traceback point at the README's own line.
        code = compile("\n" * (block.line - 1) + block.body, str(root / "README.md"), "exec")
        exec(code, namespace)
    for left_open in namespace.values():
        if isinstance(left_open, octant.Collection | octant_langchain.OctantVectorStore):
            left_open.close()


def test_shown_files_are_the_files(readme: list[Block], root: Path) -> None:
    for block in readme:
        kind, _, path = block.mark.partition(": ")
        if kind == "file":
            assert block.body.strip() == (root / path).read_text(encoding="utf-8").strip(), f"README.md:{block.line}"


@pytest.mark.parametrize("name", ["demo", "test"])
def test_set_up_is_one_line(name: str, readme: list[Block]) -> None:
    lines = [block.body.strip() for block in readme if block.mark == f"ci: {name}"]
    assert len(lines) == 1
    assert lines[0].count("\n") == 0
    assert lines[0].startswith("pip install ")
