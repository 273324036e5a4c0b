"""What cannot be tuned is refused before anything is measured, in words that say what to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from octant import Collection
from octant.errors import (
    ArtifactError,
    CollectionNotFoundError,
    DimensionError,
    InputError,
    SpecError,
    VectorValueError,
)
from octant.tuning import Goal, Study, study, tune
from octant.tuning.kept import FILE

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("goal", "match"),
    [
        ({"min_recall": 1.5}, "min_recall must lie between 0 and 1"),
        ({"min_ndcg": 0.0}, "min_ndcg must lie between 0 and 1"),
        ({"max_ram": -1}, "max_ram must be a finite number above 0"),
        ({"max_latency_ratio": float("nan")}, "max_latency_ratio must be a finite number"),
        ({"max_ram": 200, "max_disk": 100}, "allows more than max_disk"),
        ({"objective": "fastest"}, "objective must be 'cheapest' or 'best'"),
        ({"ram_weight": -1.0}, "ram_weight must be a finite number"),
        ({"k": 0}, "k must be at least 1"),
    ],
)
def test_goals_that_make_no_sense(goal, match):
    with pytest.raises(InputError, match=match):
        Goal(**goal)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"objective": "best"}, InputError, "the best without a budget is float32"),
        ({"min_ndcg": 0.5}, InputError, "min_ndcg needs judged queries"),
        ({"budget": "soon"}, InputError, "a time budget is written as"),
        ({"max_ram": "2GiB per vector"}, InputError, "a size is bytes a vector"),
        ({"represent": "turbo5"}, SpecError, "turbo5"),
        ({"represent": "pca(64)|turbo4"}, DimensionError, "64"),
        ({"only": True}, InputError, "only= leaves nothing to try"),
        ({"points": 10}, InputError, "points=10 is less than the 300 vectors"),
        ({"points": "lots"}, InputError, "a number of vectors is written as"),
        ({"queries": RNG.standard_normal((5, 8))}, DimensionError, "cannot search vectors of 16"),
        ({"qrels": "qrels.tsv"}, InputError, "judgements are about queries"),
        ({"split": "test"}, InputError, "a split is chosen while reading a folder"),
        ({"embedding": "some/model"}, InputError, "vectors need no embedding"),
        ({"location": "here"}, InputError, "location says where the collection of a name is"),
        ({"vector_name": "text"}, InputError, "vector_name is for collections at a location"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options, error, match):
    with pytest.raises(error, match=match):
        tune(X, **options)


def test_vectors_that_cannot_be_measured_on():
    with pytest.raises(InputError, match=r"60 vectors are too few .* at least 100"):
        tune(X[:60])
    with pytest.raises(VectorValueError, match="NaN"):
        tune(np.full((200, 4), np.nan))
    with pytest.raises(VectorValueError, match=r"ragged|same"):
        tune([[1.0, 2.0], [1.0]] * 200)


def test_paths_that_are_no_data(tmp_path: Path):
    with pytest.raises(InputError, match="found none of them"):
        study(tmp_path / "nothing.npz")
    np.savez(tmp_path / "other.npz", x=X)
    with pytest.raises(InputError, match="expected the array 'vectors'"):
        study(tmp_path / "other.npz")
    np.savez(tmp_path / "ids.npz", vectors=X, ids=np.zeros(300))
    with pytest.raises(InputError, match="'ids' must be unique"):
        study(tmp_path / "ids.npz")
    with pytest.raises(InputError, match=r"queries are a \.npz of vectors or a \.jsonl of texts"):
        study(X, queries=tmp_path / "questions.txt")


def test_collections_that_cannot_stand_for_their_vectors(tmp_path: Path):
    with pytest.raises(CollectionNotFoundError, match="nowhere"):
        study("nowhere", location=tmp_path)
    with (
        Collection.create("empty", location=tmp_path, dimension=16) as collection,
        pytest.raises(InputError, match="is empty"),
    ):
        study(collection)
    with Collection.create("coded", location=tmp_path, represent="turbo4") as collection:
        collection.add(vectors=X, ids=range(300))
        with pytest.raises(InputError, match="cannot stand for the original vectors"):
            study(collection)
        with pytest.raises(InputError, match="compares by cosine"):
            study(collection, distance="dot")


def test_files_that_are_damaged(tmp_path: Path):
    (tmp_path / "study.json").write_text('{"format": 1}')
    with pytest.raises(ArtifactError, match="the study is damaged"):
        Study.load(tmp_path / "study.json")
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(ArtifactError, match="not the JSON of a study"):
        Study.load(tmp_path / "study.json")
    (tmp_path / FILE).write_text("{}\n")
    with pytest.raises(ArtifactError, match=r"trials.jsonl:1 is damaged"):
        study(X, represent="turbo4", only=True, out=tmp_path)
    (tmp_path / "a_file").write_text("")
    with pytest.raises(InputError, match="out is a folder"):
        study(X, out=tmp_path / "a_file")


def test_a_study_with_impossible_numbers_is_refused(tmp_path: Path):
    made = study(X, Goal(min_recall=0.3), represent="turbo4", only=True, budget=1)
    value = json.loads(json.dumps(made.to_json()))
    value["trials"][0]["held_in_ram"]["graph"] = "somewhere"
    with pytest.raises(ArtifactError, match="somewhere"):
        Study.from_json(value)
    value = json.loads(json.dumps(made.to_json()))
    value["trials"][0]["seconds"] = None
    with pytest.raises(ArtifactError, match="the study is damaged"):
        Study.from_json(value)
