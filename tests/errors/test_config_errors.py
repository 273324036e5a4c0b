"""What a broken configuration is told: line, key, what would be right, and never a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from made_configs import BROKEN, ENVIRONMENT, SECRET, Broken
from octant.config import Config, read_config, schema
from octant.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "octant.yaml"


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.key or broken.message)
def test_a_mistake_is_told_with_its_line_and_key(broken: Broken, file: Path) -> None:
    file.write_text(broken.text)
    with pytest.raises(ConfigError) as raised:
        read_config(file, ENVIRONMENT)
    [problem] = raised.value.problems
    assert (problem.line, problem.key) == (broken.line, broken.key)
    assert broken.message in problem.message
    assert str(raised.value).startswith(f"{file}: line ")
    assert SECRET not in str(raised.value) + repr(raised.value)
    assert raised.value.__cause__ is None or SECRET not in repr(raised.value.__cause__)


def test_there_are_enough_of_them() -> None:
    assert len({broken.text for broken in BROKEN}) == len(BROKEN) >= 30


def test_a_dict_is_told_the_same_without_lines() -> None:
    for broken in BROKEN:
        try:
            values = yaml.safe_load(broken.text)
        except yaml.YAMLError:
            continue
        if not isinstance(values, dict) or "twice" in broken.message or "alias" in broken.message or "a" in values:
            continue
        with pytest.raises(ConfigError) as raised:
            read_config(values, ENVIRONMENT)
        [problem] = raised.value.problems
        assert problem.line is None
        assert problem.key == broken.key


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines(file: Path) -> None:
    file.write_text("search: {k: 0}\nselect: fusee\nstoer: x\n")
    with pytest.raises(ConfigError, match=r"has 4 mistakes:\n  line 1: collection: is missing\n  line 1: search\.k"):
        read_config(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_config(tmp_path / "bytes.yaml")


def test_a_flood_of_values_is_refused(file: Path) -> None:
    file.write_text("a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in
                    ("ab", "bc", "cd", "de", "ef", "fg")))  # fmt: skip
    with pytest.raises(ConfigError, match="more than 10000 values"):
        read_config(file)


# -- what is right -------------------------------------------------------------------------------

WHOLE: dict[str, Any] = {
    "collection": "docs",
    "create": True,
    "store": {"location": "${PLACE}", "api_key": "${KEY}", "timeout": "${SECONDS:-7}", "prefer_grpc": True},
    "embeddings": {
        "minilm": "sentence-transformers/all-MiniLM-L6-v2",
        "bge": {"model": "./models/bge", "represent": "pca(192) | float8", "hnsw": {"m": 32}, "distance": "dot"},
    },
    "sparse": "bm25",
    "search": {"k": 3, "candidates": 30, "knobs": {"hnsw_ef": 64}, "timeout": 5},
    "rerank": ["lexical", "listwise(window=10, step=5)"],
    "select": {"spec": "cascade(rate=0.3)", "embeddings": ["minilm", "sparse"], "calibration": "c.oct"},
    "model": {"name": "openai:gpt-4o-mini", "api_key": "${KEY}", "options": {"temperature": 0}},
    "confidence": {"abstain_below": 0.4},
}


@pytest.fixture
def whole(file: Path) -> Config:
    file.write_text(yaml.safe_dump(WHOLE))
    return read_config(file, ENVIRONMENT)


def test_everything_is_read(whole: Config, file: Path) -> None:
    assert whole.store.timeout == 7
    assert whole.store.location == ENVIRONMENT["PLACE"]
    assert whole.store.api_key is not None
    assert whole.store.api_key.get_secret_value() == SECRET
    assert whole.embeddings is not None
    assert whole.embeddings["minilm"].model == "sentence-transformers/all-MiniLM-L6-v2"
    assert whole.embeddings["bge"].model == str(file.parent / "models/bge")
    assert whole.embeddings["bge"].represent == "coarse=pca(192)|turbo4; fine=pca(192)|float8"
    assert whole.embeddings["bge"].hnsw is not None
    assert whole.embeddings["bge"].hnsw.m == 32
    assert whole.rerank is not None
    assert whole.rerank.spec == "lexical > listwise(window=10, step=5)"
    assert whole.select is not None
    assert whole.select.calibration == str(file.parent / "c.oct")


def test_a_dict_and_json_mean_the_same(whole: Config, tmp_path: Path) -> None:
    (tmp_path / "octant.json").write_text(json.dumps(WHOLE))
    assert read_config(tmp_path / "octant.json", ENVIRONMENT) == whole
    given = json.loads(json.dumps(WHOLE))
    assert read_config(given, ENVIRONMENT).search == whole.search
    assert given == WHOLE  # the caller's own


def test_no_secret_is_shown(whole: Config) -> None:
    told = [repr(whole), str(whole), f"{whole.store}", repr(whole.store), repr(whole.model), str(whole.__dict__)]
    assert SECRET not in "".join(told)


def test_dollars_can_be_written(tmp_path: Path) -> None:
    assert read_config({"collection": "a$${b}$c"}, {}).collection == "a${b}$c"
    assert read_config({"collection": "x-${A}-${B:-}-${C:-c}"}, {"A": "a"}).collection == "x-a--c"


def test_the_schema_is_the_published_one(root: Path) -> None:
    published = root / "plugin" / "octant" / "config.schema.json"
    assert json.loads(published.read_text()) == schema(), "python -m octant.config > plugin/octant/config.schema.json"


def test_the_schema_knows_every_key_of_the_whole_configuration() -> None:
    found = schema()
    assert set(WHOLE) <= set(found["properties"])
    assert found["additionalProperties"] is False
