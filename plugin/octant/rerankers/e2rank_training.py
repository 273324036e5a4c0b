"""Training E2Rank (2510.22733) on one's own questions, so that only the query's side learns.

The paper trains one model for queries and passages, and embeds all passages again. Here the vectors that a collection
stores stay valid: a copy of its embedding model learns to embed listwise prompts near the vectors of what is relevant,
and is used for nothing else. InfoNCE, which the paper computes on plain queries to keep the embedding good, is
computed on the pseudo-queries for the same reason: plain queries are embedded by the model as it was.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from octant.descent import Schedule, need_torch
from octant.descent import train as descend
from octant.errors import InputError, MismatchError, MissingExtraError
from octant.flow import run
from octant.hub import load_model
from octant.identity import PROBE_TEXT, complete, describe, probe_of, same_model
from octant.judged import Judged, JudgedRankings, ndcg
from octant.records import EmbeddingIdentity, FloatArray
from octant.rerankers.base import Reranker
from octant.rerankers.e2rank_data import Lists, in_order
from octant.rerankers.e2rank_learner import WEIGHTS, PseudoQueries, PseudoQueryLearner, ndcgs
from octant.rerankers.e2rank_model import E2RankRecord, Use, weights_digest
from octant.rerankers.settings import positive, whole
from octant.rerankers.teacher import taught
from octant.rerankers.trained import FEWEST, FEWEST_TO_VALIDATE, compared
from octant.statistics import paired_difference
from octant.tokens import tokens_of
from octant.trained import Origin, TrainingReport
from octant.work import QUIET, Work, fingerprint

Scores: TypeAlias = list[FloatArray]
"""Of each question's candidates."""

SPEC = "e2rank"
_VALIDATED = 0.25
_WATCHED = 0.15
_MOST_WATCHED = 200


@dataclass(frozen=True)
class Effort:
    """How much is trained, and how long.

    Attributes
    ----------
    steps : int
        Batches at most; 0 trains nothing and only chooses how the model is used as it is.
    batch : int
        Questions in a batch.
    rate : float
        Largest learning rate, relative to the size of a parameter.
    layers : int or None
        How many of the last transformer layers learn; None: the whole model.
    passages : int
        Most passages in the prompt.
    shortest : int
        Fewest tokens to which a passage is cut.
    context : int or None
        Tokens of a prompt, where fewer are wanted than the model reads: shorter prompts train faster.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    steps: int = 400
    batch: int = 8
    rate: float = 1e-3
    layers: int | None = 2
    passages: int = 20
    shortest: int = 16
    context: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("batch", 1), ("passages", 1), ("shortest", 8)):
            whole(name, getattr(self, name), least=least)
        for name, least in (("layers", 1), ("context", 32)):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), least=least)
        positive("rate", self.rate)


def train(
    model: Any,
    judged: JudgedRankings,
    out: str | Path,
    *,
    teacher: Reranker | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    work: Work = QUIET,
) -> E2RankRecord:
    """Train the query's side of an embedding model for ``octant.reranker("e2rank('OUT')", ...)``.

    A quarter of the questions is held out. On it, the lower end of the interval of the gain in nDCG@10 chooses between
    no change, the model as it is and the trained one, each with several shares of the pseudo-query.

    Parameters
    ----------
    model : SentenceTransformer or str
        The one that made the vectors, or its name or path; it is left as it is.
    judged : JudgedRankings
        At least 40, with vectors, of questions and of candidates.
    out : str or Path
        Folder to be made.
    teacher : Reranker, optional
        Whose order is learned in place of the judgements; validation goes by the judgements all the same.
    effort : Effort, optional
    seed : int
    work : Work
        Shows progress; with a checkpoint folder, a training that was killed goes on when it is started again.

    Returns
    -------
    E2RankRecord
        What was chosen, with its figures. The model's own files are in ``out`` only where trained weights were chosen.

    Raises
    ------
    InputError
        If there are too few questions, they lack what is read, or ``out`` is there already.
    MismatchError
        If ``model`` did not make the vectors.
    MissingExtraError
        Without the extra [models].
    VectorValueError
        If the loss is not finite.
    """
    effort = effort or Effort()
    folder = free_folder(out)
    need_torch(SPEC)
    if importlib.util.find_spec("sentence_transformers") is None:
        raise MissingExtraError(f"training {SPEC}", module="sentence_transformers", extra="models")
    if len(judged) < FEWEST:
        raise InputError(f"{SPEC} needs at least {FEWEST} judged questions, got {len(judged)}: judge more of them")
    readable = judged.where(_readable)
    known, held = readable.split(_VALIDATED, seed=seed)
    bench = _Bench(load_model(model) if isinstance(model, str) else copy.deepcopy(model), effort, work)
    bench.check(judged.embedding)
    validation = bench.lists(held)
    choices = dict(_choices(validation, bench.pseudo, tuned=False, effort=effort, work=work))
    taught_by = known
    if teacher is not None:
        taught_by = run(taught(known, teacher, in_order, work)).where(lambda one: bool(one.gains))
    trained_on = bench.descend(taught_by, known, seed) if effort.steps else 0
    if trained_on:
        choices |= _choices(validation, bench.pseudo, tuned=True, effort=effort, work=work)
    source = "judgements" if teacher is None else f"the order of {teacher!r}"
    learned = f"{SPEC}: pseudo-queries from listwise prompts, learned from {source}"
    use, report = _chosen(choices, validation, TrainingReport(learned, len(known), len(held)))
    unread = len(judged) - len(readable)
    if unread:
        left_out = f"{unread} questions were left out: nothing that was found for them has a text"
        report = replace(report, remarks=(*report.remarks, left_out))
    corpora = {} if judged.corpus is None else {judged.corpus: report}
    origin = Origin(SPEC, judged.embedding or bench.identity, judged.first_stage, report, corpora)
    return _saved(folder, bench.pseudo.model if use.tuned else None, origin, use)


def adopt(folder: str | Path, model: Any, judged: JudgedRankings, *, work: Work = QUIET) -> E2RankRecord:
    """Validate a trained model on another collection, so that it may act there if it surely helps.

    Parameters
    ----------
    folder : str or Path
        What :func:`train` made; its record is rewritten.
    model : SentenceTransformer or str
        The embedding model of the collection.
    judged : JudgedRankings
        At least 20 questions of the collection, none of which was learned from.
    work : Work
        Shows progress.

    Raises
    ------
    InputError
        If there are too few questions, nobody knows which collection they are of, or training had chosen no change.
    MismatchError
        If the vectors were made by another embedding, or the rankings by another kind of search.
    ArtifactError
        If the folder is damaged.
    """
    place = Path(folder).expanduser()
    record = E2RankRecord.read(place)
    if record.use.weight == 0:
        raise InputError(f"training had chosen no change for {folder}, so there is nothing to adopt: train it anew")
    readable = judged.where(_readable)
    corpus = record.check_adoption(readable.embedding, readable.corpus, readable.first_stage)
    if len(readable) < FEWEST_TO_VALIDATE:
        raise InputError(f"expected at least {FEWEST_TO_VALIDATE} judged questions, got {len(readable)}: judge more")
    if record.use.tuned:
        record.check_weights(place)
    source = str(place) if record.use.tuned else model
    effort = Effort(0, passages=record.use.passages, shortest=record.use.shortest, context=record.use.context)
    bench = _Bench(load_model(source) if isinstance(source, str) else source, effort, work)
    lists = bench.lists(readable)
    scores = lists.scores(bench.pseudo.embedded(lists.prompts, work, "validation"), record.use.weight)
    draft = TrainingReport(record.report.learned, record.report.fitted_on, len(lists))
    _, report = _chosen({record.use: scores}, lists, draft)
    adopted = record.adopted(corpus, report)
    adopted.write(place)
    return adopted


class _Bench:
    """The model that is trained, and how it reads."""

    def __init__(self, model: Any, effort: Effort, work: Work) -> None:
        self.pseudo, self.effort, self.work = PseudoQueries(model), effort, work
        tokens = tokens_of(model, nullcontext())  # one thread trains it
        if tokens is None:
            raise InputError("model must be a sentence-transformers model of texts: this one has no tokenizer")
        own = tokens.limit
        limit = effort.context if own is None else min(own, effort.context or own)
        self.tokens = replace(tokens, limit=limit)
        encode = getattr(model, "encode_document", None) or model.encode
        vectors = np.asarray(encode([PROBE_TEXT], convert_to_numpy=True, show_progress_bar=False), np.float32)
        name = getattr(getattr(model[0], "auto_model", None), "config", None)
        seen = EmbeddingIdentity(getattr(name, "_name_or_path", "") or type(model).__name__, probe=probe_of(vectors[0]))
        self.identity = complete(seen, vectors)

    def check(self, embedding: EmbeddingIdentity | None) -> None:
        """Refuse a model that did not make the vectors."""
        reason = None if embedding is None else same_model(embedding, self.identity)
        if embedding is not None and reason is not None:
            raise MismatchError(
                f"the vectors were made by {describe(embedding)}, and {describe(self.identity)} is to be trained: "
                f"{reason}. Train the model that made them"
            )

    def lists(self, judged: JudgedRankings) -> Lists:
        """The prompts of ``judged``."""
        return Lists.of(judged, self.tokens, Use(self.effort.passages, self.effort.shortest), self.work)

    def descend(self, taught_by: JudgedRankings, known: JudgedRankings, seed: int) -> int:
        """Train on a part of ``taught_by``, and stop by the judgements of the rest; how many were learned from."""
        share = min(_WATCHED, _MOST_WATCHED / len(known))
        _, rest = known.split(share, seed=seed + 1)
        apart = {(one.name, one.query) for one in rest}
        seen = self.lists(taught_by.where(lambda one: (one.name, one.query) not in apart))
        rows = seen.teaching()
        if not rows:
            return 0
        seen, watched = seen.only(rows), self.lists(rest)
        learner = PseudoQueryLearner(self.pseudo, seen, watched, self.effort.layers)
        what = (
            f"{SPEC} {self.effort} {self.identity} {seen.digest()} {watched.digest()} {_digest_of(self.pseudo.model)}"
        )
        key = fingerprint(what, np.random.default_rng(seed))
        schedule = Schedule(self.effort.steps, self.effort.batch, self.effort.rate, looks=8, patience=3)
        learner.load(descend(learner, schedule, what=SPEC, seed=seed, key=key, work=self.work))
        self.work.done(key)
        return len(rows)


def _choices(
    lists: Lists, pseudo: PseudoQueries, *, tuned: bool, effort: Effort, work: Work
) -> Iterator[tuple[Use, Scores]]:
    """Every way to use the model as it is now, and how it scores the candidates."""
    vectors = pseudo.embedded(lists.prompts, work, "validation")
    for weight in WEIGHTS:
        yield Use(effort.passages, effort.shortest, weight, tuned, effort.context), lists.scores(vectors, weight)


def _chosen(choices: Mapping[Use, Scores], lists: Lists, draft: TrainingReport) -> tuple[Use, TrainingReport]:
    """The way whose gain is surest, if it is sure at all.

    The interval by which it must be above zero is as wide as so many looks at the same questions ask for (Bonferroni).
    """
    before = np.array([ndcg(one) for one in lists.judged])
    level = 1 - 0.05 / len(choices)
    gains = {use: paired_difference(ndcgs(lists, found), before, level=level) for use, found in choices.items()}
    best = max(gains, key=lambda use: gains[use].low)
    enough = len(lists) >= FEWEST_TO_VALIDATE
    no_change = not (enough and gains[best].low > 0)
    which = "the trained model" if best.tuned else "the model as it is"
    remarks = [
        f"chosen among {len(choices)} ways and no change; the figures are of {which} at a weight of {best.weight:g}",
        f"{lists.shown:.1f} passages fit into a prompt, on average",
    ]
    remarks += [f"fewer than {FEWEST_TO_VALIDATE} questions to validate on can show nothing"] * (not enough)
    scores = dict(zip(map(id, lists.judged), choices[best], strict=True))
    figures = compared(JudgedRankings(lists.judged), lambda one: scores[id(one)])
    report = replace(draft, figures=figures, no_change=no_change, remarks=tuple(remarks))
    return (replace(best, weight=0.0, tuned=False) if no_change else best), report


def _saved(folder: Path, model: Any | None, origin: Origin, use: Use) -> E2RankRecord:
    """Write the folder whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if model is not None:
        model.save(str(unfinished), safe_serialization=True, create_model_card=False)
    record = E2RankRecord(origin, use, weights_digest(unfinished))
    record.write(unfinished)
    unfinished.rename(folder)
    return record


def free_folder(out: str | Path) -> Path:
    """Where a model can be written.

    Raises
    ------
    InputError
        If something is there already, or there is no folder to make it in.
    """
    folder = Path(out).expanduser()
    if folder.exists():
        raise InputError(f"out must be a folder that is not there yet, got {folder}: name another, or remove it")
    if not folder.parent.is_dir():
        raise InputError(f"there is no folder to make {folder} in: make {folder.parent} first")
    return folder


def _readable(one: Judged) -> bool:
    return any(candidate.text and candidate.text.strip() for candidate in one.ranking)


def _digest_of(model: Any) -> str:
    """SHA-256 of the weights that training starts from."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()
