"""The same scripted answers through Octant, LangChain, LlamaIndex, rerankers and Haystack: what each loses or invents.

Every library is told the same thing in the notation that its own prompt asks for. Counted over all answers: documents
lost, invented (ids that were not given) and repeated, answers that raised, and answers whose order can be read but came
out otherwise. A library that drops what the model left out does so by design; it is counted as lost all the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import Bar, skip, table
from parts import Outcome

import octant
from octant.records import Candidate, Ranking

PACKAGES = (
    "langchain-classic==1.0.8",
    "llama-index-core==0.14.25",
    "rerankers==0.10.0",
    "litellm",
    "haystack-ai==3.4.0",
)
N = 5
WORKER = Path(__file__).with_name("peer_worker.py")


@dataclass(frozen=True)
class Said:
    """One scripted answer.

    Attributes
    ----------
    name : str
    ids : tuple of int or str
        What it names, best first, counted from 1; a str is written as it is.
    order : tuple of int
        What it means, best first; what follows is left to the library. Empty where it means nothing.
    frame : str
        Around the list.
    digits : str
        Of another script, from its zero on.
    cut : float
        Share of the answer that arrives.
    """

    name: str
    ids: tuple[int | str, ...]
    order: tuple[int, ...]
    frame: str = "{}"
    digits: str = ""
    cut: float = 1.0

    def written(self, library: str) -> str:
        """The answer in the notation of ``library``."""
        text = self.frame.replace("{}", _NOTATIONS[library](self.ids))
        if self.digits:
            text = text.translate({ord("0") + i: ord(self.digits) + i for i in range(10)})
        return text[: round(len(text) * self.cut)]


def _brackets(ids: Sequence[int | str]) -> str:
    return " > ".join(f"[{i}]" if isinstance(i, int) else i for i in ids)


def _langchain(ids: Sequence[int | str]) -> str:
    return json.dumps({"ranked_document_ids": [i - 1 if isinstance(i, int) else i for i in ids]})  # counts from 0


def _llamaindex(ids: Sequence[int | str]) -> str:
    return "\n".join(f"Doc: {i}, Relevance: {max(1, 9 - rank)}" for rank, i in enumerate(ids))


def _haystack(ids: Sequence[int | str]) -> str:
    return json.dumps({"documents": [{"index": i} for i in ids]})


_NOTATIONS = {
    "Octant": _brackets, "LangChain": _langchain, "LlamaIndex": _llamaindex, "rerankers": _brackets,
    "Haystack": _haystack,
}  # fmt: skip

RIGHT = (3, 1, 5, 2, 4)
SCRIPT = (
    Said("well formed", RIGHT, RIGHT),
    Said("the order that came in", (1, 2, 3, 4, 5), (1, 2, 3, 4, 5)),
    Said("the other way round", (5, 4, 3, 2, 1), (5, 4, 3, 2, 1)),
    Said("a sentence before", RIGHT, RIGHT, "Here is the ranking you asked for:\n{}"),
    Said("a sentence behind", RIGHT, RIGHT, "{}\n\nI hope this helps."),
    Said("numbers before", RIGHT, RIGHT, "I ranked the 5 passages, of which 2 are good:\n{}"),
    Said("numbers behind", RIGHT, RIGHT, "{}\n\nThese 4 differ by less than 2 points."),
    Said("a code fence", RIGHT, RIGHT, "```\n{}\n```"),
    Said("a JSON fence", RIGHT, RIGHT, "```json\n{}\n```"),
    Said("bold", RIGHT, RIGHT, "**{}**"),
    Said("thoughts before", RIGHT, RIGHT, "<think>Passage 2 names the city, 4 does not. So 2 > 4.</think>\n{}"),
    Said("reasoning before", RIGHT, RIGHT, "Passage 4 is off topic. Passage 2 is better than 4.\n\nFinal ranking:\n{}"),
    Said("a first try before", RIGHT, RIGHT, "First I thought [1] > [2] > [3] > [4] > [5], but no:\n{}"),
    Said("trailing comma", RIGHT, RIGHT, "{},"),
    Said("quotation marks", RIGHT, RIGHT, '"{}"'),
    Said("spaces around", RIGHT, RIGHT, "\n\n   {}   \n"),
    Said("one repeated", (3, 1, 3, 5, 2, 4), RIGHT),
    Said("all repeated", RIGHT + RIGHT, RIGHT),
    Said("one again and again", (3,) * 12, (3,)),
    Said("one missing", (3, 1, 5, 2), RIGHT),
    Said("three missing", (3, 1), (3, 1, 2, 4, 5)),
    Said("one only", (4,), (4, 1, 2, 3, 5)),
    Said("one out of range", (3, 1, 9, 5, 2, 4), RIGHT),
    Said("the first out of range", (6, *RIGHT), RIGHT),
    Said("far out of range", (3, 1, 5, 2, 4, 99999999999), RIGHT),
    Said("zero", (3, 1, 0, 5, 2), RIGHT),
    Said("negative", (3, 1, -1, 5, 2, 4), RIGHT),
    Said("more than there are", (3, 1, 5, 2, 4, 6, 7, 8, 9), RIGHT),
    Said("a range", ("3-5", 1, 2), (3, 4, 5, 1, 2)),
    Said("no number", ("first", "second"), ()),
    Said("cut off in the middle", RIGHT, (3,), cut=0.55),
    Said("cut off at the end", RIGHT, (3, 1, 5), cut=0.93),
    Said("full-width digits", RIGHT, RIGHT, digits="０"),
    Said("Arabic digits", RIGHT, RIGHT, digits="٠"),
    Said("Devanagari digits", RIGHT, RIGHT, digits="०"),
    Said("nothing", (), (), ""),
    Said("white space", (), (), " \n\t "),
    Said("a refusal", (), (), "I'm sorry, but I can't help with that."),
    Said("a refusal with numbers", (), (), "I'm sorry, as of 2023 I cannot rank these 5 passages."),
    Said("an empty list", (), ()),
    Said("null", (), (), "null"),
    Said("another language", RIGHT, RIGHT, "Hier ist die Reihenfolge:\n{}"),
)


@dataclass
class Count:
    """What became of all answers."""

    lost: int = 0
    invented: int = 0
    repeated: int = 0
    raised: int = 0
    misordered: int = 0

    @property
    def columns(self) -> tuple[int, ...]:
        return self.lost, self.invented, self.repeated, self.raised, self.misordered

    def add(self, said: Said, result: dict) -> None:
        if "error" in result:
            self.raised += 1
            return
        ids, given = result["ids"], {str(i) for i in range(1, N + 1)}
        self.lost += len(given - set(ids))
        self.invented += len(set(ids) - given)
        self.repeated += len(ids) - len(set(ids))
        wanted = [str(i) for i in said.order]
        self.misordered += list(dict.fromkeys(ids))[: len(wanted)] != [i for i in wanted if i in ids]


def measure(asked: argparse.Namespace) -> Outcome:
    python = _environment(asked.peers)
    libraries = [library for library in _NOTATIONS if library != "Octant"]
    questions = [(library, said) for library in libraries for said in SCRIPT]
    lines = [json.dumps({"library": library, "answer": said.written(library), "n": N}) for library, said in questions]
    done = subprocess.run([python, WORKER], input="\n".join(lines), capture_output=True, text=True, check=False)
    versions, *results = map(
        json.loads, done.stdout.splitlines() or skip(f"the peers did not start: {done.stderr[-500:]}")
    )
    answers = {(library, said.name): result for (library, said), result in zip(questions, results, strict=True)}
    answers |= {("Octant", said.name): _octant(said.written("Octant")) for said in SCRIPT}
    counts = {library: Count() for library in _NOTATIONS}
    for library, count in counts.items():
        for said in SCRIPT:
            count.add(said, answers[library, said.name])
    header = (f"{len(SCRIPT)} answers, {N} documents each", "lost", "invented", "repeated", "raised", "wrong order")
    text = table(header, [(library, *count.columns) for library, count in counts.items()])
    named = ", ".join(f"{package} {version}" for package, version in versions.items())
    bars = [Bar("Octant: none in any column", str(counts["Octant"].columns), not any(counts["Octant"].columns))]
    results_kept = {
        "versions": versions,
        "counts": {library: dict(zip(header[1:], count.columns, strict=True)) for library, count in counts.items()},
        "answers": {f"{library}: {name}": result for (library, name), result in answers.items()},
    }
    return Outcome(f"{text}\n{named}", results_kept, bars)


def _octant(answer: str) -> dict:
    ranking = Ranking(tuple(Candidate(str(i), 1 - i / 10, f"passage {i}") for i in range(1, N + 1)), "q")
    try:
        return {"ids": list(octant.reranker("listwise", lambda prompt: answer).rerank("a query", ranking).ids)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _environment(folder: Path | None) -> Path:
    """Python of the peers' environment, which is made where it is missing."""
    if folder is None:
        skip("the peers run in an environment of their own: name a folder for it with --peers DIR")
    python = folder.resolve() / "bin" / "python"
    if not python.exists():
        print(f"making {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python
