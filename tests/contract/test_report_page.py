"""report.html, as far as that can be seen without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from made_study import CHOSEN, QUERIES, made_study
from octant.layout import HnswSettings
from octant.recommendation import Expected
from octant.tuning import report_html, view
from octant.tuning.study import DISK, RAM, Candidate, Goal, Study, Trial

VOID = {"meta", "br", "input", "link", "img", "hr"}
EVIL = "</script></style></title>--><img src=x onerror=window.pwned=1><script>window.pwned=1</script>\"'&lt;${1}{{7*7}}"
NO_PLACE = {"href", "src", "srcset", "action", "formaction", "data", "poster", "background", "xlink:href", "ping"}


@dataclass
class Parsed(HTMLParser):
    """Elements with their attributes, in order, and the text of each; unbalanced tags are an error."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)
    by_id: dict[str, str] = field(default_factory=dict)
    open: list[tuple[str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert len(named) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, named))
        if tag not in VOID:
            self.open.append((tag, named.get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for tag, name in self.open:
            self.text[tag] = self.text.get(tag, "") + data
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]


def parse(study: Study) -> Parsed:
    text = report_html.page(study)
    assert text.startswith("<!doctype html>\n")
    page = Parsed()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def words_of(study: Study) -> str:
    return " ".join(parse(study).by_id["do"].split())


@pytest.fixture(scope="module")
def study() -> Study:
    return made_study()


@pytest.fixture(scope="module")
def page(study: Study) -> Parsed:
    return parse(study)


# -- one file that loads nothing -----------------------------------------------------------------


def test_nothing_is_loaded_from_anywhere(page: Parsed) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "image", "use"}
        for name in NO_PLACE & attributes.keys():
            assert (attributes[name] or "").startswith(("#", "data:application/json")), (tag, attributes)
        assert "style" not in attributes, "the page's own policy forbids it"
        assert not [name for name in attributes if name.startswith("on")]
    for code in (page.text["style"], page.text["script"]):
        assert not re.search(r"@import|url\(|://|fetch\(|XMLHttp|innerHTML|insertAdjacentHTML|eval\(", code)


def test_the_policy_allows_the_pages_own_style_and_script_only(page: Parsed) -> None:
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] or ""
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        assert len(page.all(tag)) == 1
        digest = base64.b64encode(hashlib.sha256(page.text[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_it_says_how_wide_it_is_and_which_language_it_speaks(page: Parsed) -> None:
    assert page.all("meta", name="viewport")[0]["content"] == "width=device-width, initial-scale=1"
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("meta", charset="utf-8")


def test_the_package_carries_its_style_and_its_script() -> None:
    for name in ("report.css", "report.js"):
        assert (files("octant.tuning.page") / name).is_file()


def test_the_same_study_makes_the_same_page(study: Study) -> None:
    assert report_html.page(Study.from_json(study.to_json())) == report_html.page(study)


def test_writing_replaces_the_file_in_one_step(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    report_html.write(study, path)
    assert path.read_text(encoding="utf-8") == report_html.page(study)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(FileNotFoundError, match="missing"):
        report_html.write(study, tmp_path / "missing" / "report.html")


# -- all of the study is in it -------------------------------------------------------------------


def test_every_candidate_is_in_the_table_and_the_measured_ones_in_every_plot(study: Study, page: Parsed) -> None:
    listed = view.listed(study)
    assert len(listed) == len(study.finals) + 1
    rows = [row for row in page.all("tr") if (row.get("id") or "").startswith("c")]
    assert [row["id"] for row in rows] == [f"c{i}" for i in range(len(listed))]
    for number, trial in enumerate(listed):
        assert trial.candidate.represent in page.by_id[f"c{number}"]
    points = Counter(point["data-row"] for point in page.all("svg", role="button"))
    measured = {str(i) for i, trial in enumerate(listed) if trial.failed is None}
    assert points == Counter(dict.fromkeys(measured, 6))  # two qualities by three sizes


def test_failed_candidates_say_why(study: Study, page: Parsed) -> None:
    failed = [trial for trial in study.finals if trial.failed]
    assert failed
    for trial in failed:
        assert page.by_id["all"].count(trial.failed) == 2  # in the row, and on its card


def test_the_queries_that_lose_most_come_first(study: Study, page: Parsed) -> None:
    chosen = view.chosen(study)
    assert chosen is not None
    recall = chosen.per_query["recall@10"]
    lose = sum(value < 1 for value in recall)
    text = page.by_id["queries"]
    assert 20 < lose < QUERIES
    assert f"The 20 queries that lose most, of {lose} that lose any" in text
    assert f"{QUERIES - lose} of 200 queries" in text
    listed = [int(name) for name in re.findall(r"q(\d{3})", text)]
    assert len(listed) == 20
    assert recall[listed[0]] == min(recall)
    assert [recall[i] for i in listed] == sorted(recall)[:20]


def test_the_recommendation_can_be_read_back(study: Study, page: Parsed) -> None:
    expected = json.loads(json.dumps(study.recommendation.to_json()))
    assert json.loads(page.by_id["recommendation"]) == expected
    link = next(link["href"] or "" for link in page.all("a") if "download" in link)
    assert json.loads(unquote(link.partition(",")[2])) == expected


def test_each_view_has_the_chosen_point_the_bounds_and_the_front(page: Parsed) -> None:
    rings = [svg for svg in page.all("svg") if svg.get("class") == "ring"]
    assert len(rings) == 6
    visible = [one for one in page.all("div") if one.get("class") == "view" and "hidden" not in one]
    assert [(one["data-metric"], one["data-size"]) for one in visible] == [("recall@10", "RAM")]
    text = page.by_id["choice"]
    assert text.count("budget 120 B") == 2  # of memory, with recall and with nDCG; not of disk, nor of both
    assert text.count("asked 97 %") == 3
    assert len([one for one in page.all("line") if one.get("class") == "front"]) > 12


def test_headings_tables_and_pictures_can_be_read_aloud(page: Parsed) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(head.get("scope") in {"col", "row"} for head in page.all("th"))
    for drawing in page.all("svg"):
        if drawing.get("class", "") and "plot" in (drawing["class"] or "").split():
            assert drawing["aria-label"]
            assert drawing["role"] in {"img", "group"}
    names = [found["id"] for _, found in page.elements if "id" in found]
    assert len(names) == len(set(names))
    assert {(link["href"] or "")[1:] for link in page.all("a") if (link["href"] or "#").startswith("#")} <= set(names)


# -- strangers' text -----------------------------------------------------------------------------


def with_text(study: Study, text: str) -> Study:
    """The same study with ``text`` wherever a stranger may write."""
    spec = f"coarse={text}; fine=turbo8"

    def renamed(candidate: Candidate) -> Candidate:
        return replace(candidate, represent=spec) if candidate.represent == CHOSEN else candidate

    def rewritten(trial: Trial) -> Trial:
        components = {text if name == "bookkeeping" else name: size for name, size in trial.components.items()}
        failed = trial.failed and text
        return replace(trial, candidate=renamed(trial.candidate), failed=failed, components=components)

    recommendation = replace(study.recommendation, represent=spec, unmet=(text,), source=text)
    return replace(
        study, name=text, trials=tuple(map(rewritten, study.trials)), reference=rewritten(study.reference),
        recommendation=recommendation, notes=(text,),
        query_ids=tuple(f"{text}{i}" for i in range(QUERIES)), query_texts=(text,) * QUERIES,
    )  # fmt: skip


@pytest.mark.parametrize("text", [EVIL, "\x00\x07\ud800\x1b[31m", "\u202egnp.exe", "]]>", "a" * 5000])
def test_text_of_strangers_never_becomes_markup(study: Study, text: str) -> None:
    harmless, suspect = parse(with_text(study, "harmless")), parse(with_text(study, text))
    assert [tag for tag, _ in suspect.elements] == [tag for tag, _ in harmless.elements]
    assert [set(found) for _, found in suspect.elements] == [set(found) for _, found in harmless.elements]
    assert suspect.text["script"] == harmless.text["script"]
    assert suspect.text["style"] == harmless.text["style"]
    if text == EVIL:
        assert suspect.by_id["do"].count(EVIL) == 2  # a note, and what to relax
        assert EVIL in suspect.text["title"]
        assert json.loads(suspect.by_id["recommendation"])["represent"] == f"coarse={EVIL}; fine=turbo8"


def test_what_html_forbids_is_replaced_and_the_file_is_utf8(study: Study, tmp_path: Path) -> None:
    report_html.write(with_text(study, "\x00\ud800x"), tmp_path / "report.html")
    assert "\ufffd\ufffdx" in (tmp_path / "report.html").read_text(encoding="utf-8")


# -- other studies -------------------------------------------------------------------------------


def test_without_labels_nothing_speaks_of_ndcg() -> None:
    text = parse(made_study(labels=False)).text["main"]
    assert "ndcg" not in text.lower().replace('"min_ndcg"', "")


def test_without_texts_queries_are_named_by_their_ids() -> None:
    page = parse(made_study(texts=False))
    assert re.search(r"q\d{3}", page.by_id["queries"])
    assert "variant" not in page.by_id["queries"]


def test_more_than_twenty_answers_are_counted_in_tenths() -> None:
    text = parse(made_study(k=100)).by_id["queries"]
    assert "100 of 100" in text
    assert "90 to 99 of 100" in text


def test_what_is_unknown_is_left_out() -> None:
    study = made_study()
    unknown = replace(study.recommendation, represent="float16", hnsw=HnswSettings(m=33))
    page = parse(replace(study, recommendation=unknown, trials=study.trials[:1]))
    sections = {found["id"] for tag, found in page.elements if tag == "section"}
    assert sections == {"do", "apply", "choice", "all", "json"}


def test_float32_itself_can_be_recommended() -> None:
    study = made_study()
    one = study.reference.candidate
    same = replace(study.recommendation, represent=one.represent, hnsw=one.hnsw, placement=one.placement,
                   knobs=one.knobs, expected=study.recommendation.reference)  # fmt: skip
    page = parse(replace(study, recommendation=same, trials=()))
    assert "stays at about 15 GiB" in page.by_id["do"]
    assert "full precision" in page.text["header"]


def test_a_trial_of_nothing_but_perfect_recall_draws() -> None:
    study = made_study(labels=False)
    perfect = {"recall@10": Expected.certain(1.0)}
    trials = tuple(replace(t, at_full_size={**t.at_full_size, **perfect}) for t in study.trials if t.failed is None)
    assert "100 %" in parse(replace(study, trials=trials)).by_id["choice"]


def test_everything_may_be_cold() -> None:
    study = made_study()
    nothing = {RAM: Expected.certain(0.0), DISK: Expected.certain(0.0)}
    trials = tuple(replace(t, at_full_size={**t.at_full_size, **nothing}) for t in study.trials if t.failed is None)
    chosen = replace(study.recommendation, expected={**study.recommendation.expected, **nothing})
    assert "0 B" in parse(replace(study, trials=trials, recommendation=chosen)).by_id["do"]


# -- what the words say --------------------------------------------------------------------------


def test_a_satisfied_goal_and_an_estimate(study: Study) -> None:
    text = words_of(study)
    assert "Memory (RAM) falls from 15 GiB to 671 MiB: 23 times less. Disk space falls from 18 GiB to 8.2 GiB" in text
    assert "30,000 vectors of 10,000,000 were measured" in text
    assert "This is an estimate for the full size." in text
    assert "200 real queries" in text
    assert text.count("✓ kept") == 2
    assert "✗" not in text
    assert "keeps everything you asked for" in parse(study).text["header"]


def test_a_goal_that_nothing_satisfies() -> None:
    study = made_study(satisfied=False)
    page = parse(study)
    text = " ".join(page.by_id["do"].split())
    assert not study.recommendation.satisfied
    assert "Nothing that was tried keeps everything" in page.text["header"]
    assert "✗ missed: At most 114 MiB of memory (12 bytes a vector)" in text
    assert study.recommendation.unmet[0] in text
    assert "closest" in page.by_id["choice"]


def test_a_goal_that_only_float32_satisfies() -> None:
    study = made_study(goal=Goal(min_recall=0.9999))
    plain = study.reference.candidate
    kept = replace(
        study.recommendation,
        represent=plain.represent, hnsw=plain.hnsw, placement=plain.placement, knobs=plain.knobs,
        expected=study.recommendation.reference, satisfied=True, unmet=(),
    )  # fmt: skip
    page = parse(replace(study, recommendation=kept))
    assert "only plain float32 surely keeps everything" in page.text["header"]
    assert "stays at about" in page.by_id["do"]


def test_too_few_queries_to_be_sure_of_anything() -> None:
    study = made_study(goal=Goal(min_recall=0.99), labels=False)
    unsure = {**study.reference.at_full_size, "recall@10": Expected(1.0, 0.94, 1.0)}
    study = replace(study, reference=replace(study.reference, at_full_size=unsure))
    unsatisfied = replace(study, recommendation=replace(study.recommendation, satisfied=False))
    text = words_of(unsatisfied)
    assert "200 queries are too few" in text
    assert "float32, which reaches 100 %, is only surely above 94 %" in text
    assert "too few" not in words_of(made_study(satisfied=False))


def test_everything_measured_by_stand_ins() -> None:
    text = words_of(made_study(points=20_000, stand_in=True))
    assert "measured on all 20,000 vectors" in text
    assert "estimate" not in text
    assert "200 documents left out of the collection stood in" in text
    assert "real quer" not in text.replace("Tune with real queries", "")


def test_an_interrupted_tuning() -> None:
    page = parse(made_study(interrupted=True))
    assert "stopped early" in page.text["header"]
    assert "before it was stopped" in page.by_id["do"]


def test_no_bounds_and_a_budget_objective() -> None:
    free = made_study(goal=Goal())
    assert "You set no bounds" in parse(free).text["header"]
    assert "What you asked for" not in words_of(free)
    best = made_study(goal=Goal(max_disk=900.0, max_latency_ratio=2.0, min_ndcg=0.5, objective="best"))
    text = words_of(best)
    assert "the one that finds most" in text
    assert text.count("✓ kept") == 3
