"""The picture of a tuning."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from made_study import made_study
from octant.errors import MissingExtraError
from octant.tuning import picture
from octant.tuning.view import Size

pytest.importorskip("matplotlib", reason="needs the extra [report]")


def dimensions(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_it_is_a_slide(tmp_path: Path) -> None:
    picture.write(made_study(), tmp_path / "study.png")
    assert dimensions(tmp_path / "study.png") == (1600, 900)
    assert [one.name for one in tmp_path.iterdir()] == ["study.png"]


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    study = replace(made_study(satisfied=False, labels=False, points=20_000), name="$x^{2$ 漢字 \\frac \n" * 20)
    chosen = replace(study.recommendation, represent="$\\nonsense{$")
    picture.write(replace(study, recommendation=chosen), tmp_path / "study.png", Size.DISK)
    assert dimensions(tmp_path / "study.png") == (1600, 900)


def test_what_is_drawn_depends_on_the_study(tmp_path: Path) -> None:
    pictures = []
    for number, options in enumerate(({}, {}, {"seed": 1})):
        picture.write(made_study(**options), tmp_path / f"{number}.png")
        pictures.append((tmp_path / f"{number}.png").read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0] != pictures[2]


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'qdrant-octant\[report\]'"):
        picture.write(made_study(), tmp_path / "study.png")
    assert list(tmp_path.iterdir()) == []
