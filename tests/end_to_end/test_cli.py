"""The command line: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from command_line import refuse, run, succeed
from octant import Collection, HnswSettings
from octant.version import __version__

DRIVER = Path(__file__).with_name("cli_driver.py")


def _driver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cli_driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for every named model; remembers what it embedded."""
    stand_in = _driver().WordHashes()
    monkeypatch.setattr("octant.embedders.load_model", lambda name: stand_in)
    return stand_in


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    voyage = " ".join(f"on day {day} the ship carried sextants and octants." for day in range(60))
    (folder / "sea.txt").write_text(f"the octopus has three hearts\n\n{voyage}")
    (folder / "bread.md").write_text("# Bread\n\nbread rises while it rests\n")
    lines = [{"_id": f"d{i}", "text": f"line {i} speaks of topic{i % 7}", "topic": i % 7} for i in range(30)]
    (folder / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "collections"


@pytest.fixture
def indexed(model: Any, corpus: Path, place: Path) -> Path:
    succeed("index", corpus, "--name", "c", "--location", place, "--sparse")
    return place


# -- the frame -----------------------------------------------------------------------------------


def test_help_names_every_command() -> None:
    for arguments in ((), ("--help",), ("-h",)):
        shown = succeed(*arguments).stdout
        assert all(f"\n  {name} " in shown for name in ("demo", "index", "search", "inspect", "eval", "plugins"))


def test_version() -> None:
    assert succeed("--version").stdout == f"octant {__version__}\n"


def test_help_of_the_real_program_loads_no_model_code() -> None:
    code = (
        "import sys; from octant.cli.app import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'transformers', 'sentence_transformers', 'qdrant_client', "
        "'langchain_core', 'langchain_text_splitters') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, "index", "--help"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "--represent" in run.stdout
    assert run.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frob"], "No such command 'frob'. See octant --help"),
        (["search"], "Missing argument 'NAME'. See octant search --help"),
        (["index", "x"], "Missing option '--name'. See octant index --help"),
        (["search", "c", "q", "--mode", "fuzzy"], "Invalid value for '--mode'"),
        (["search", "c", "q", "-k", "0"], "Invalid value for '--k' / '-k'"),
        (["index", "x", "--name", "c", "--chunk-size", "many"], "Invalid value for '--chunk-size'"),
    ],
)
def test_usage_errors_are_one_line(arguments: list[str], message: str) -> None:
    assert refuse(*arguments).startswith(message)


def test_ctrl_c_ends_with_130_and_one_line(monkeypatch: pytest.MonkeyPatch, corpus: Path, place: Path) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("octant.embedders.load_model", interrupt)
    result = run("index", corpus, "--name", "c", "--location", place)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "octant: interrupted; run the same command again to go on"


def test_a_defect_is_not_dressed_up_as_a_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(group: str) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("octant.cli.plugins.describe", broken)
    assert isinstance(run("plugins").exception, ZeroDivisionError)


# -- index ---------------------------------------------------------------------------------------


def test_index_stores_every_passage(model: Any, corpus: Path, place: Path) -> None:
    result = json.loads(succeed("index", corpus, "--name", "c", "--location", place, "--json").stdout)
    assert result["documents"] == 32
    assert result["added"] == result["points"] > 32
    assert (result["replaced"], result["unchanged"], result["removed"], result["skipped"]) == (0, 0, 0, [])
    with Collection.open("c", location=place) as collection:
        assert collection.representation.spec == "turbo8"
        [line] = collection.get(["d3"])
        assert line.text == "line 3 speaks of topic3"
        assert line.payload == {"source": str((corpus / "lines.jsonl").resolve()), "topic": 3}


def test_a_second_run_embeds_nothing_and_says_so(indexed: Path, corpus: Path, model: Any) -> None:
    model.embedded.clear()
    shown = succeed("index", corpus, "--name", "c", "--location", indexed).stdout
    assert "0 added" in shown
    assert "already there, not embedded again" in shown
    assert len(model.embedded) == 1  # the probe


def test_what_changed_is_replaced_and_what_is_gone_from_a_file_is_removed(
    indexed: Path, corpus: Path, model: Any
) -> None:
    (corpus / "bread.md").write_text("# Bread\n\nbread falls if nobody watches\n")
    (corpus / "sea.txt").write_text("the octopus has three hearts")
    result = json.loads(succeed("index", corpus, "--name", "c", "--location", indexed, "--json").stdout)
    assert result["added"] == 0
    assert result["replaced"] == 2
    assert result["unchanged"] == 30
    assert result["removed"] > 0
    with Collection.open("c", location=indexed) as collection:
        texts = {candidate.text for candidate in collection.scroll()}
    assert len(texts) == result["points"] == 32
    assert "# Bread\n\nbread falls if nobody watches" in texts
    assert not any("sextants" in str(text) for text in texts)


def test_a_changed_payload_is_replaced_too(indexed: Path, corpus: Path, model: Any) -> None:
    path = corpus / "lines.jsonl"
    path.write_text(path.read_text().replace('"topic": 3', '"topic": 33'))
    result = json.loads(succeed("index", corpus, "--name", "c", "--location", indexed, "--json").stdout)
    assert (result["added"], result["replaced"]) == (0, 4)


def test_new_files_are_added_to_old_ones(indexed: Path, tmp_path: Path, model: Any) -> None:
    (tmp_path / "more.txt").write_text("one more")
    result = json.loads(succeed("index", tmp_path / "more.txt", "--name", "c", "--location", indexed, "--json").stdout)
    assert (result["added"], result["unchanged"]) == (1, 0)


def test_a_representation_that_learns_is_fitted_on_the_corpus(model: Any, corpus: Path, place: Path) -> None:
    succeed("index", corpus, "--name", "c", "--location", place, "--represent", "pca(8)|turbo8")
    assert len(model.embedded) == len(set(model.embedded))  # nothing of the sample is embedded twice
    with Collection.open("c", location=place) as collection:
        assert collection.artifact is not None
    shown = succeed("index", corpus, "--name", "c", "--location", place).stdout
    assert "0 added" in shown


@pytest.mark.parametrize(
    ("name", "content"),
    [("q.txt", "what is a?\n\n  who was b? \n"), ("q.jsonl", '{"text": "what is a?"}\n{"text": "who was b?"}\n')],
)
def test_questions_are_learned_from(name: str, content: str, model: Any, corpus: Path, place: Path) -> None:
    (corpus.parent / name).write_text(content)
    arguments = ("index", corpus, "--name", "c", "--location", place, "--queries", corpus.parent / name)
    first = succeed(*arguments, "--represent", "leanvec(8)|turbo8")
    assert {"what is a?", "who was b?"} <= set(model.embedded)
    assert " and 2 questions" in first.stderr
    again = succeed(*arguments)
    assert "has learned already: --queries changes nothing now" in again.stderr


@pytest.mark.parametrize(
    ("content", "represent", "message"),
    [
        ('{"text": "a"}', "pca(8)|turbo8", "pca(8)|turbo8 learns nothing from questions: leave --queries out"),
        ("\n \n", "leanvec(8)|turbo8", "--queries is a file of questions, one a line; {file} holds none"),
        (None, "leanvec(8)|turbo8", "--queries is a UTF-8 file of questions, one a line; {file} cannot be read"),
        ("[1]\n", "leanvec(8)|turbo8", "{file}:1: expected an object with a \"text\", got '[1]'"),
        ('{"text": "a"}\n{', "leanvec(8)|turbo8", "{file}:2: not valid JSON"),
    ],
)
def test_bad_questions_are_refused_before_anything_is_written(
    content: str | None, represent: str, message: str, model: Any, corpus: Path, place: Path
) -> None:
    file = corpus.parent / "questions.jsonl"
    if content is not None:
        file.write_text(content)
    arguments = ("index", corpus, "--name", "c", "--location", place, "--represent", represent, "--queries", file)
    assert refuse(*arguments).startswith(message.format(file=file))
    assert not place.exists()


def test_too_small_a_corpus_to_learn_from_leaves_nothing_behind(model: Any, corpus: Path, place: Path) -> None:
    line = refuse("index", corpus, "--name", "c", "--location", place, "--represent", "pca(200)|turbo8")
    assert line.startswith("pca(200)|turbo8 needs at least 201 passages to learn from, the corpus has ")
    assert line.endswith("e.g. --represent turbo8")
    assert not place.exists()


def test_what_could_not_be_read_is_reported(model: Any, corpus: Path, place: Path) -> None:
    (corpus / "latin.txt").write_bytes(b"caf\xe9")
    (corpus / "empty.txt").write_text("")
    (corpus / "a.png").write_bytes(b"")
    (corpus / "b.png").write_bytes(b"")
    result = run("index", corpus, "--name", "c", "--location", place)
    assert result.exit_code == 0
    assert "latin.txt: not UTF-8 text (byte 3): convert it first" in result.stderr
    assert "empty.txt: empty" in result.stderr
    assert "left out 2 files of other kinds (2 .png)" in result.stderr
    skipped = json.loads(succeed("index", corpus, "--name", "c", "--location", place, "--json").stdout)["skipped"]
    assert len(skipped) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no file or folder 'nowhere'"),
        (
            ["{corpus}", "--represent", "pcaa(3)"],
            "in 'pcaa(3)', at position 0: no quantizer 'pcaa'; did you mean 'pca'",
        ),
        (["{corpus}", "--represent", "truncate(500)|turbo8"], "truncate(500)"),
        (["{corpus}", "--chunk-overlap", "900"], "chunk size must be positive and the overlap smaller"),
        (["{corpus}/void"], "there is nothing to index in {corpus}/void; 1 skipped: empty"),
    ],
)
def test_index_refuses_before_it_writes(
    arguments: list[str], message: str, model: Any, corpus: Path, place: Path
) -> None:
    (corpus / "void").mkdir()
    (corpus / "void" / "empty.txt").write_text("")
    filled = [argument.format(corpus=corpus) for argument in arguments]
    assert refuse("index", *filled, "--name", "c", "--location", place).startswith(message.format(corpus=corpus))
    assert not place.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--represent", "turbo4"], "the collection stores 'turbo8', got --represent 'turbo4'"),
        (["--distance", "dot"], "the collection compares by Cosine, got --distance Dot"),
    ],
)
def test_an_existing_collection_keeps_what_it_is(
    arguments: list[str], message: str, indexed: Path, corpus: Path
) -> None:
    assert refuse("index", corpus, "--name", "c", "--location", indexed, *arguments).startswith(message)


def test_another_model_is_refused(indexed: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def encode(self, texts: list[str], **options: Any) -> np.ndarray:
            return np.random.default_rng(5).standard_normal((len(texts), 384)).astype(np.float32)

    monkeypatch.setattr("octant.embedders.load_model", lambda name: Other())
    line = refuse("index", corpus, "--name", "c", "--location", indexed, "--embedding", "other/model")
    assert "sentence-transformers/all-MiniLM-L6-v2" in line
    assert "other/model" in line


def test_sparse_weights_cannot_be_added_later(model: Any, corpus: Path, place: Path) -> None:
    succeed("index", corpus, "--name", "c", "--location", place)
    line = refuse("index", corpus, "--name", "c", "--location", place, "--sparse")
    assert line.startswith("the collection stores no sparse vectors")


# -- search --------------------------------------------------------------------------------------


def test_search_finds_and_shows(indexed: Path) -> None:
    shown = succeed("search", "c", "octopus hearts", "--location", indexed, "-k", 2).stdout
    first = shown.splitlines()[0].split()
    assert first[0] == "1"
    assert 0 < float(first[1]) <= 1
    assert first[2].endswith("sea.txt")
    assert "three hearts" in shown


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_search_in_every_mode_as_json(mode: str, indexed: Path) -> None:
    result = json.loads(succeed("search", "c", "bread rises", "--location", indexed, "--mode", mode, "--json").stdout)
    assert (result["query"], result["mode"]) == ("bread rises", mode)
    assert result["hits"][0]["text"].startswith("# Bread")
    assert result["hits"][0]["payload"]["source"].endswith("bread.md")
    scores = [hit["score"] for hit in result["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_search_filters_and_cuts(indexed: Path) -> None:
    query = ("search", "c", "line speaks of topic3", "--location", indexed, "--json")
    wanted = json.dumps({"must": [{"key": "topic", "match": {"value": 3}}]})
    hits = json.loads(succeed(*query, "--filter", wanted).stdout)["hits"]
    assert {hit["id"] for hit in hits} == {"d3", "d10", "d17", "d24"}
    few = json.loads(succeed(*query, "--score-threshold", "0.8").stdout)["hits"]
    assert few
    assert all(hit["score"] >= 0.8 for hit in few)


def test_nothing_found_is_said(indexed: Path) -> None:
    shown = succeed("search", "c", "zzz", "--location", indexed, "--mode", "sparse").stdout
    assert shown == "nothing found\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope", "q"], "no collection 'nope' in"),
        (["c", "q", "--filter", "{bad"], "--filter must be a Qdrant filter as JSON: "),
        (["c", "q", "--filter", '{"mustt": []}'], "a Qdrant filter has the clauses must, should"),
    ],
)
def test_search_refuses(arguments: list[str], message: str, indexed: Path) -> None:
    assert refuse("search", *arguments, "--location", indexed).startswith(message)


def test_a_collection_of_bare_vectors_needs_a_model_named(place: Path, model: Any) -> None:
    with Collection.create("v", location=place) as collection:
        collection.add(vectors=np.eye(8, 384), ids=range(8))
    assert refuse("search", "v", "q", "--location", place).endswith("made its vectors: pass --embedding")
    assert len(succeed("search", "v", "q", "--location", place, "--embedding", "any", "--json").stdout) > 2


def test_a_model_that_only_a_program_can_build_is_not_guessed(place: Path) -> None:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    with Collection.create("l", location=place, embedding=DeterministicFakeEmbedding(size=8)) as collection:
        collection.add(["a", "b"])
    line = refuse("search", "l", "q", "--location", place)
    assert line.startswith("the collection was made with DeterministicFakeEmbedding, which needs a program")


def test_the_location_may_come_from_the_environment(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTANT_LOCATION", str(indexed))
    assert "three hearts" in succeed("search", "c", "octopus hearts").stdout


def test_a_server_that_is_down_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)  # between the retries
    assert "is unavailable" in refuse("inspect", "c", "--location", "http://127.0.0.1:9")


# -- inspect, plugins, eval ----------------------------------------------------------------------


def test_inspect_says_what_a_collection_is(indexed: Path) -> None:
    shown = succeed("inspect", "c", "--location", indexed).stdout
    for fact in ("turbo8", "sentence-transformers/all-MiniLM-L6-v2", "searched codes", "all in RAM", "ok    artifact"):
        assert fact in shown


def test_inspect_as_json_adds_up(indexed: Path) -> None:
    seen = json.loads(succeed("inspect", "c", "--location", indexed, "--json").stdout)
    footprint = seen["footprint"]
    assert seen["manifest"]["represent"] == "turbo8"
    assert seen["points"] > 32
    assert footprint["disk_bytes"] == sum(part["bytes"] for part in footprint["components"])
    assert footprint["ram_bytes"] == sum(
        part["bytes"] for part in footprint["components"] if part["placement"] != "cold"
    )
    assert footprint["ram_bytes_per_vector"] == pytest.approx(footprint["ram_bytes"] / seen["points"])
    assert {check["name"]: check["ok"] for check in seen["health"]} == {
        "artifact": True, "embedding": True, "indexes": True, "footprint": True,
    }  # fmt: skip


def test_inspect_notices_what_is_missing(place: Path) -> None:
    with Collection.create("v", location=place, dimension=384, represent="pca(4)|turbo8"):
        pass
    seen = json.loads(succeed("inspect", "v", "--location", place, "--json").stdout)
    assert seen["footprint"]["ram_bytes_per_vector"] is None
    health = {check["name"]: check["ok"] for check in seen["health"]}
    assert (health["artifact"], health["embedding"]) == (False, False)


def test_inspect_notices_a_graph_that_is_due(place: Path) -> None:
    rng = np.random.default_rng(0)
    settings = HnswSettings(indexing_threshold=100)
    with Collection.create("v", location=place, represent="float32", hnsw=settings) as collection:
        collection.add(vectors=rng.standard_normal((300, 384)), ids=range(300), optimize=False)
    indexes = json.loads(succeed("inspect", "v", "--location", place, "--json").stdout)["health"][2]
    assert indexes["ok"] is False
    assert indexes["detail"].startswith("no graph built for 467.0 kB of vectors, above the indexing threshold")
    with Collection.open("v", location=place) as collection:
        collection.optimize()
    indexes = json.loads(succeed("inspect", "v", "--location", place, "--json").stdout)["health"][2]
    assert indexes["ok"] is True
    assert indexes["detail"].startswith("a graph of ")


def test_inspect_of_a_damaged_artifact_is_one_line(model: Any, corpus: Path, place: Path) -> None:
    succeed("index", corpus, "--name", "c", "--location", place, "--represent", "pca(8)|turbo8")
    [artifact] = place.rglob("*.safetensors")
    artifact.write_bytes(artifact.read_bytes()[:-8] + b"tampered")
    assert "SHA-256" in refuse("inspect", "c", "--location", place)


def test_a_collection_that_another_process_holds_is_one_line(indexed: Path) -> None:
    with Collection.open("c", location=indexed):
        assert "c" in refuse("inspect", "c", "--location", indexed)


def test_plugins_lists_the_built_in_ones() -> None:
    found = json.loads(succeed("plugins", "--json").stdout)
    assert set(found) == {"quantizers", "rerankers", "selectors"}
    by_name = {entry["name"]: entry for entry in found["quantizers"]}
    assert by_name["turbo8"]["package"] == "qdrant-octant"
    assert by_name["turbo8"]["target"] == "octant.quantizers.native:Turbo8"
    assert by_name["turbo8"]["problem"] is None
    assert "turbo8" in succeed("plugins").stdout


def test_plugins_tells_why_one_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    from octant.errors import MissingExtraError

    def fail(group: str, name: str) -> None:
        raise MissingExtraError(name, module="torch", extra="train")

    monkeypatch.setattr("octant.cli.plugins.load", fail)
    found = json.loads(succeed("plugins", "--json").stdout)
    assert "pip install 'qdrant-octant[train]'" in found["quantizers"][0]["problem"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "vectors.npz"
    np.savez(path, ids=np.arange(300).astype(str), vectors=rng.standard_normal((300, 16)).astype(np.float32))
    return path


def test_eval_prints_a_table_and_writes_json(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    shown = succeed("eval", archive, "--represent", "turbo8", "--represent", "turbo4", "--json", out).stdout
    assert "recall@10" in shown
    report = json.loads(out.read_text())
    assert [row["represent"] for row in report["rows"]] == ["float32", "turbo8", "turbo4"]
    assert report["rows"][0]["recall@10"]["value"] == 1


def test_eval_json_to_standard_output(archive: Path) -> None:
    report = json.loads(succeed("eval", archive, "--represent", "turbo8", "--json", "-", "-k", 5).stdout)
    assert "recall@5" in report["rows"][1]


def test_eval_refuses_a_report_that_could_not_be_written(archive: Path) -> None:
    assert refuse("eval", archive, "--represent", "turbo8", "--json", "/no/such/folder/x.json").startswith(
        "there is no folder for --json"
    )


def test_eval_refuses_what_is_no_dataset(tmp_path: Path) -> None:
    assert refuse("eval", tmp_path / "nothing", "--represent", "turbo8").startswith("expected a dataset folder")
