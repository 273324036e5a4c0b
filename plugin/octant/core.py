"""An open collection from the inside: what ingest and search share, and how it comes to be.

Everything here is written once, as flows; :class:`octant.Collection` drives them, sync or async.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from octant import artifact as artifacts
from octant import coverage, envelope, families
from octant.embedders import Embedder
from octant.errors import CollectionExistsError, DimensionError, InputError, MismatchError, StoreError
from octant.families import Kin
from octant.flow import Flow, step
from octant.identity import PROBE_TEXT, complete, describe, same_model
from octant.ids import IdCodec
from octant.layout import CollectionLayout, MemoryPlacement, Stages, VectorLayout, check_knobs, lay_out
from octant.manifest import Manifest
from octant.oversampling import DEFAULT_COVERAGE, CoverageCurve
from octant.records import Distance, EmbeddingIdentity, FitReport, FloatArray
from octant.representation import Representation
from octant.schema import CollectionSchema
from octant.sparse import Bm25, SparseEncoder, sparse_encoder
from octant.store.base import Store
from octant.terms import Terms
from octant.unfinished import KEY, refuse
from octant.vectors import as_matrix, unit_rows
from octant.work import QUIET, Work

UNNAMED = "dense"
"""What the embedding of a collection is called whose vector has no name."""
COUNT_SECONDS = 60.0
"""How long a search trusts the last count of points."""
_JUDGED = 10_000
"""Vectors, about, that the squared error is measured on: more say the same and take long to encode."""


@dataclass
class Core:
    """A collection's parts.

    Attributes
    ----------
    store : Store
    representation : Representation
    manifest : Manifest
        Without a dimension while the collection is a draft: asked for, but not yet made, because nobody knows
        the dimension before the first vector.
    embedder : Embedder or None
    sparse : SparseEncoder or None
    foreign : bool
        Whether somebody else made the collection; it then has no manifest of its own to rewrite.
    pending : int
        Points written since the last optimization.
    kin : Kin
        What the collection holds beside this.
    siblings : dict from vector name to Core
        The collection's other embeddings, each with its own model and representation; store and sparse encoder are
        the same.
    twins : dict from name to Representation
        Of ``kin.twins``, once somebody writes.
    """

    store: Store
    representation: Representation
    manifest: Manifest
    embedder: Embedder | None = None
    sparse: SparseEncoder | None = None
    foreign: bool = False
    pending: int = 0
    kin: Kin = field(default_factory=Kin)
    siblings: dict[str, Core] = field(default_factory=dict)
    twins: dict[str, Representation] = field(default_factory=dict, init=False)
    ids: IdCodec = field(init=False)
    _stages: tuple[object, Stages] | None = field(default=None, init=False, repr=False)
    _counted: tuple[float, int] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.ids = IdCodec(digits_are_integers=self.foreign)

    @property
    def draft(self) -> bool:
        """Whether the collection still waits for its first vector."""
        return self.manifest.dimension is None

    @property
    def sparse_only(self) -> bool:
        """Whether points have no dense vector at all; the manifest then says dimension 0."""
        return self.manifest.dimension == 0

    @property
    def title(self) -> str:
        """What this embedding is called: the name of its vector, or "dense" where that has none."""
        return self.manifest.vector_name or UNNAMED

    @property
    def embeddings(self) -> dict[str, Core]:
        """The embedding and its siblings, by what they are called; those that are being added too."""
        return {one.title: one for one in (self, *self.siblings.values())}

    @property
    def written(self) -> tuple[Core, ...]:
        """The embeddings that a new document gets; what is still being added fetches it later."""
        return tuple(one for one in (self, *self.siblings.values()) if not one.manifest.unfinished)

    def of(self, name: str | None) -> Core:
        """The embedding called ``name``; this one without a name.

        Raises
        ------
        InputError
            If there is none of that name, or it is not complete.
        """
        if name is None:
            return self
        found = self.embeddings.get(name)
        if found is None:
            known = ", ".join(map(repr, self.embeddings))
            raise InputError(f"the collection has no embedding {name!r}; it has {known}")
        if found.manifest.unfinished:
            raise InputError(
                f"the embedding {name!r} is not complete: call add_embedding({name!r}, ...) again, and it goes on"
            )
        return found

    @property
    def distance(self) -> Distance:
        """The collection's distance."""
        return self.manifest.distance

    @property
    def dimension(self) -> int:
        """Coordinates of an embedding.

        Raises
        ------
        DimensionError
            While the collection is a draft.
        """
        if self.manifest.dimension is None:
            raise DimensionError(
                "the collection has no dimension yet: add its first vectors, or create with dimension="
            )
        return self.manifest.dimension

    @property
    def stages(self) -> Stages:
        """The representation's vectors, named."""
        # Asked for on every search; what it depends on changes a few times in a collection's life.
        key = (id(self.representation), self.dimension, self.distance, self.manifest.vector_name)
        if self._stages is None or self._stages[0] != key:
            coarse, fine = self.representation.needs(self.dimension, self.distance)
            if self.store.engine == "local":
                # qdrant-client's local mode has no second copies: what it scores are the stored vectors.
                coarse = replace(coarse, quantization=None)
                fine = None if fine is None else replace(fine, quantization=None)
            self._stages = key, Stages.of(coarse, fine, self.manifest.vector_name)
        return self._stages[1]

    @property
    def coverage(self) -> CoverageCurve:
        """The measured curve, or for lack of one the curve that the coarse codec is assumed to have."""
        if self.manifest.coverage is not None:
            return self.manifest.coverage
        fine = self.stages.fine
        return CoverageCurve.assumed(1.0 if fine is None else fine.needs.oversampling)

    def about_how_many(self) -> Flow[int]:
        """Points in the collection, counted again when the last count is old.

        The depth that a coverage takes grows far slower than the number of points, so an old count does little harm,
        and a search is one request but for the first of every ``COUNT_SECONDS``.
        """
        now = time.monotonic()
        if self._counted is None or now - self._counted[0] > COUNT_SECONDS:
            self._counted = now, (yield from self.store.count())
        return self._counted[1]

    def forget_count(self) -> None:
        """Count again before the next search that needs to know."""
        self._counted = None

    def prepare(self, x: object, what: str = "vectors") -> FloatArray:
        """``x`` as the representation takes it: finite float32 (n, dimension), unit rows under cosine."""
        matrix = as_matrix(x, dim=self.manifest.dimension, what=what)  # type: ignore[arg-type]
        return unit_rows(matrix, what=what) if self.distance is Distance.COSINE else matrix


# -- coming to be --------------------------------------------------------------------------------


def create(
    core: Core,
    terms: Mapping[str, Terms],
    *,
    exist_ok: bool,
    overwrite: bool,
    models: Mapping[str, Embedder | None] | None = None,
) -> Flow[None]:
    """Make the collection, or leave it a draft while its dimension is unknown.

    Parameters
    ----------
    core : Core
        With its siblings, where it is to have several embeddings.
    terms : mapping from vector name to Terms
    exist_ok, overwrite : bool
    models : mapping from name to Embedder, optional
        Where embeddings were asked for by name: the collection must have these, and their dimensions are found out
        now, if need be by embedding one short text.

    Raises
    ------
    CollectionExistsError
        If it exists and neither ``exist_ok`` nor ``overwrite`` is set.
    MismatchError
        If it exists, and is not what was asked for.
    InputError
        If one of several embeddings has neither a model nor a dimension.
    """
    if (yield from core.store.exists()):
        if overwrite:
            yield from core.store.drop()
        elif exist_ok:
            yield from _open_as_asked(core, terms, models)
            return
        else:
            raise CollectionExistsError(
                "a collection of that name exists: open it, or create it with exist_ok=True or overwrite=True"
            )
    dimensions = []
    for one in (core, *core.siblings.values()):
        dimensions.append((yield from find_dimension(one, certain=models is not None)))
        one.manifest = replace(one.manifest, dimension=None)
    known = [dimension for dimension in dimensions if dimension is not None]
    if len(known) == len(dimensions):
        yield from materialize(core, *known)


def _open_as_asked(core: Core, terms: Mapping[str, Terms], asked: Mapping[str, Embedder | None] | None) -> Flow[None]:
    yield from open_existing(core, models=asked)
    if asked is not None and set(asked) != set(core.embeddings):
        there, wanted = (", ".join(map(repr, names)) for names in (core.embeddings, asked))
        raise MismatchError(
            f"the collection has the embeddings {there}, expected {wanted}: open it as it is, add_embedding() what is "
            "missing, or make another one"
        )
    for one in core.embeddings.values():
        wanted_terms = terms.get(one.manifest.vector_name) or (terms.get("") if one is core else None)
        if wanted_terms is not None:
            wanted_terms.check(one.manifest, foreign=core.foreign)


def find_dimension(core: Core, *, certain: bool) -> Flow[int | None]:
    """What is known of an embedding's dimension, its model being noted down; all there is to know if ``certain``."""
    if core.embedder is not None:
        embedder = core.embedder
        identity = yield from step(lambda: embedder.identity)
        if certain and identity.dimension is None:
            yield from embedder.embed_documents([PROBE_TEXT])
            identity = embedder.identity
        _same_dimension(core.manifest, identity)
        core.manifest = replace(core.manifest, embedding=identity)
    dimension = core.manifest.dimension
    if dimension is None and core.manifest.embedding is not None:
        dimension = core.manifest.embedding.dimension
    if dimension is None and certain:
        raise InputError(
            f"the embedding {core.title!r} needs its model (embedding), or its dimension: give one of them"
        )
    return dimension


def materialize(core: Core, *dimensions: int) -> Flow[None]:
    """Make a draft real: from here on it has a dimension, or one for each of its embeddings.

    Raises
    ------
    DimensionError, InputError
        If the representation is impossible for that dimension or distance; nothing is made then.
    """
    cores = (core, *core.siblings.values())
    manifests = [replace(one.manifest, dimension=d) for one, d in zip(cores, dimensions, strict=True)]
    own = manifests[0]
    vectors: tuple[VectorLayout, ...] = ()
    if dimensions == (0,):
        if core.sparse is None:
            raise InputError("dimension=0 means sparse vectors only: name their encoder too, as in sparse='bm25'")
    else:
        for one, manifest in zip(cores, manifests, strict=True):
            vectors += laid_out(one.representation, manifest)
    layout = CollectionLayout(vectors, own.sparse_name, own.placement.payload)
    yield from core.store.create(layout, *(manifest.to_json() for manifest in manifests))
    for one, manifest in zip(cores, manifests, strict=True):
        one.manifest = manifest


def laid_out(representation: Representation, manifest: Manifest) -> tuple[VectorLayout, ...]:
    """The named vectors of one embedding, once it is sure that they are possible."""
    if not manifest.dimension:
        raise InputError(f"the embedding {manifest.vector_name!r} must have a positive dimension, got 0")
    representation.check(manifest.dimension, manifest.distance)
    coarse, fine = representation.needs(manifest.dimension, manifest.distance)
    stages = Stages.of(coarse, fine, manifest.vector_name)
    if manifest.knobs is not None:
        check_knobs(stages, manifest.knobs)
    return lay_out(stages, hnsw=manifest.hnsw, placement=manifest.placement).vectors


def open_existing(
    core: Core, *, any_vector: bool = False, models: Mapping[str, Embedder | None] | None = None
) -> Flow[None]:
    """Replace ``core``'s manifest, representation and siblings by those of the collection.

    Parameters
    ----------
    core : Core
    any_vector : bool
        Whether whatever the collection has will do: it is to be looked at, not searched.
    models : mapping from name to Embedder, optional
        Of each embedding, in place of the one of ``core``.

    Raises
    ------
    CollectionNotFoundError, LockedError, ArtifactError
    UnfinishedError
        If a compression has begun it and is not complete.
    MismatchError
        If an embedding is not the one that made the vectors, or there is none of its name.
    """
    schema = yield from core.store.open()
    try:
        name = families.first(schema) if any_vector else (yield from _meant(core, schema))
        refuse((yield from core.store.read_state(KEY)), name or "")
        if name is not None and name in schema.manifests:
            core.manifest = Manifest.from_json(schema.manifests[name])
            core.representation = yield from _representation(core.store, core.manifest)
        else:
            _adopt(core, schema, name, any_vector=any_vector)
        core.ids = IdCodec(digits_are_integers=core.foreign or core.manifest.foreign_ids)
        core.kin = families.kin(schema, core.manifest, core.manifest.sparse_name)
        if models is not None:
            _check_names(core, models)
            core.embedder = models.get(core.title)
        yield from check_embedding(core)
        _check_sparse(core)
        core.siblings = yield from _siblings(core, schema, models or {})
    except BaseException:
        yield from core.store.close()
        raise


def _meant(core: Core, schema: CollectionSchema) -> Flow[str | None]:
    """Name of the family that an ``open`` means: of several embeddings, if none is named, the one of its model."""
    wanted, embedder = core.manifest.vector_name, core.embedder
    name = families.choose(schema, wanted)
    several = [other for other in families.originals(schema) if other in schema.manifests]
    if wanted or embedder is None or len(several) < 2 or name not in several:
        return name
    identity = yield from step(lambda: embedder.identity)
    told = []
    for other in several:
        manifest = Manifest.from_json(schema.manifests[other])
        recorded = manifest.embedding
        if recorded is not None and same_model(recorded, identity) is None and _fits(manifest, identity):
            return other
        told.append(f"{other!r} ({'an unknown model' if recorded is None else describe(recorded)})")
    raise MismatchError(
        f"the collection has the embeddings {', '.join(told)}; opened with {describe(identity)}: say whose model it "
        "is with embeddings={name: model}, or vector_name="
    )


def _fits(manifest: Manifest, identity: EmbeddingIdentity) -> bool:
    return None in (manifest.dimension, identity.dimension) or manifest.dimension == identity.dimension


def _check_names(core: Core, models: Mapping[str, Embedder | None]) -> None:
    there = (core.title, *core.kin.siblings)
    if unknown := [name for name in models if name not in there]:
        raise MismatchError(
            f"the collection has the embeddings {', '.join(map(repr, there))}, got a model for "
            f"{', '.join(map(repr, unknown))}: name them as they are, or add_embedding() it"
        )


def _siblings(core: Core, schema: CollectionSchema, models: Mapping[str, Embedder | None]) -> Flow[dict[str, Core]]:
    found = {}
    for name in core.kin.siblings:
        manifest = Manifest.from_json(schema.manifests[name])
        representation = yield from _representation(core.store, manifest)
        sibling = Core(core.store, representation, manifest, models.get(name or UNNAMED), core.sparse)
        sibling.ids = core.ids
        sibling.kin = families.kin(schema, manifest, core.manifest.sparse_name)
        yield from check_embedding(sibling)
        found[name] = sibling
    return found


def load_twins(core: Core) -> Flow[None]:
    """Read what encodes documents for the vectors that were made of the same embeddings.

    Raises
    ------
    InputError
        If a new document would be without some vector of the collection: nobody would find it there.
    """
    if core.kin.strangers:
        names = ", ".join(map(repr, core.kin.strangers))
        raise InputError(
            f"the collection also has the vectors {names}, which cannot be made from what is added here: documents "
            "would be missing there, and those that are replaced would lose them. Write with the client that makes "
            "them all, or drop those vectors first"
        )
    due = [one for one in core.written if len(one.twins) != len(one.kin.twins)]
    if not due:
        return
    schema = yield from core.store.schema()
    for one in due:
        yield from _load_twins(one, schema)


def _load_twins(core: Core, schema: CollectionSchema) -> Flow[None]:
    for name in core.kin.twins:
        if name in schema.manifests:
            manifest = Manifest.from_json(schema.manifests[name])
            representation = yield from _representation(core.store, manifest)
        else:
            manifest, representation = _as_found(core.manifest, schema, name)
        if (manifest.dimension, manifest.distance) != (core.dimension, core.distance) or not representation.fitted:
            raise InputError(
                f"the vector {name!r} of the collection cannot be made from the embeddings of "
                f"{core.manifest.vector_name!r}: drop it, or write with the client that makes both"
            )
        core.twins[name] = representation


def _representation(store: Store, manifest: Manifest) -> Flow[Representation]:
    if manifest.artifact is None:
        return Representation.parse(manifest.represent)
    data = yield from store.read_artifact(manifest.artifact)
    representation, dimension = artifacts.load(data)
    if representation.spec != manifest.represent or dimension != manifest.dimension:
        raise MismatchError(
            f"the collection was made with {manifest.represent!r} for {manifest.dimension} dimensions, its artifact "
            f"{manifest.artifact[:12]} is {representation.spec!r} for {dimension}: "
            "restore the collection's own artifact"
        )
    return representation


def _adopt(core: Core, schema: CollectionSchema, name: str | None, *, any_vector: bool) -> None:
    """Take over what another client made: searched as it is, nothing rewritten."""
    core.foreign = True
    sparse = core.manifest.sparse_name if core.manifest.sparse_name in _sparse_names(schema) else None
    core.manifest = replace(core.manifest, sparse_name=sparse)
    if name is not None:
        core.manifest, core.representation = _as_found(core.manifest, schema, name)
    elif sparse is not None or any_vector:
        core.manifest = replace(core.manifest, dimension=0)
    else:
        raise MismatchError("the collection has no dense vector, and no sparse one of that name: pass sparse_name=")


def _sparse_names(schema: CollectionSchema) -> list[str]:
    return [vector.name for vector in schema.sparse]


def _as_found(like: Manifest, schema: CollectionSchema, name: str) -> tuple[Manifest, Representation]:
    """What a manifest would say of somebody else's vector ``name``, and how it is encoded."""
    vector = schema.vector(name).layout
    representation = Representation.parse(vector.datatype)
    found = replace(
        like, represent=representation.spec, distance=vector.metric, dimension=vector.size, hnsw=vector.hnsw,
        placement=_placement(vector, schema), vector_name=name,
    )  # fmt: skip
    return found, representation


def _placement(vector: VectorLayout, schema: CollectionSchema) -> MemoryPlacement:
    copied = vector.quantization is not None
    return MemoryPlacement(
        graph=vector.graph_placement,
        codes=vector.quantization_placement if copied else vector.placement,
        originals=vector.placement if copied else "cold",
        payload=schema.payload_placement,
    )


# -- whose vectors are these? --------------------------------------------------------------------


def check_embedding(core: Core) -> Flow[None]:
    """Refuse a model that did not make the vectors.

    Raises
    ------
    MismatchError
        With both identities.
    """
    if core.embedder is None:
        return
    embedder, recorded = core.embedder, core.manifest.embedding
    identity = yield from step(lambda: embedder.identity)
    _same_dimension(core.manifest, identity)
    if recorded is None:
        return
    reason = same_model(recorded, identity)
    if reason is not None:
        raise MismatchError(
            f"the collection's vectors were made by {describe(recorded)}; opened with {describe(identity)}: {reason}. "
            "Open it with the model that made it, or index the texts again with the other one"
        )


def _same_dimension(manifest: Manifest, identity: EmbeddingIdentity) -> None:
    if None not in (manifest.dimension, identity.dimension) and manifest.dimension != identity.dimension:
        recorded = manifest.embedding
        maker = describe(recorded) if recorded is not None else f"{manifest.dimension} dimensions"
        raise MismatchError(
            f"the collection is for {maker}; got {describe(identity)}: open it with the model that made it"
        )


def _check_sparse(core: Core) -> None:
    recorded, given = core.manifest.sparse, core.sparse
    if recorded is not None and given is None and recorded.startswith(Bm25.name):
        core.sparse = sparse_encoder(recorded)  # Octant's own encoder is its parameters: it needs no help to come back
    elif recorded is not None and given is not None and recorded != given.identity:
        raise MismatchError(
            f"the collection's sparse vectors were made by {recorded}; opened with {given.identity}: "
            "use the same encoder"
        )


def note_embedding(core: Core, vectors: FloatArray) -> Flow[None]:
    """Write down what the first real vectors tell about the model."""
    identity = core.manifest.embedding
    if identity is None or core.foreign or None not in (identity.dimension, identity.normalized):
        return
    core.manifest = replace(core.manifest, embedding=complete(identity, vectors))
    yield from core.store.write_manifest(core.manifest.to_json())


# -- learning ------------------------------------------------------------------------------------


def fit(
    core: Core, sample: FloatArray, queries: FloatArray | None = None, *, given: int | None = None, work: Work = QUIET
) -> Flow[FitReport]:
    """Fit the representation on prepared vectors, and keep what it learned beside the collection.

    Parameters
    ----------
    core : Core
    sample : (n, dim) float32
    queries : (m, dim) float32, optional
    given : int, optional
        How many vectors the sample was drawn from, where that was done already.
    work : Work
        Checkpoints go to the folder that the store has for them where ``work`` names none.

    Raises
    ------
    InputError
        If points are stored already: their codes would lose their meaning.
    TooFewVectorsError
    """
    if core.representation.fitted and core.manifest.artifact is not None and (yield from core.store.count()):
        raise InputError(
            f"the collection holds points encoded with artifact {core.manifest.artifact[:12]}; a new fit would "
            "make them unreadable: create another collection for it"
        )
    learned = yield from learn(core, sample, queries, given=given, work=work)
    # The artifact is there before the manifest names it, and both before the first code is written.
    yield from core.store.write_manifest(learned.manifest.to_json())
    core.representation, core.manifest = learned.representation, learned.manifest
    yield from core.store.drop_checkpoints()
    return learned.report


def adopt(core: Core, fitted: Representation, curve: CoverageCurve | None) -> Flow[None]:
    """Take over what a fit elsewhere has learned, and keep it beside the collection.

    Raises
    ------
    InputError
        If points are stored already, or ``fitted`` has learned nothing yet.
    MismatchError, DimensionError
        If it is another representation, or of another dimension.
    """
    wanted = core.representation.spec
    if fitted.spec != wanted:
        raise MismatchError(f"the collection stores {wanted!r}, got a fitted {fitted.spec!r}: create it with that spec")
    if not fitted.fitted:
        raise InputError(f"{wanted!r} has learned nothing yet: call its fit first")
    fitted.check(core.dimension, core.distance)
    if (yield from core.store.count()):
        raise InputError("the collection holds points; another fit would make them unreadable: create another one")
    digest = None
    if fitted.learns:
        data = artifacts.dump(fitted, core.dimension)
        digest = envelope.digest(data)
        yield from core.store.write_artifact(digest, data)
    manifest = replace(core.manifest, artifact=digest, coverage=curve)
    yield from core.store.write_manifest(manifest.to_json())
    core.representation, core.manifest = fitted, manifest


@dataclass(frozen=True, eq=False)
class Learned:
    """A fitted representation, the manifest that names it, and what the fit saw."""

    representation: Representation
    manifest: Manifest
    report: FitReport


def learn(
    core: Core, sample: FloatArray, queries: FloatArray | None = None, *, given: int | None = None, work: Work = QUIET
) -> Flow[Learned]:
    """What :func:`fit` fits. The artifact is written; ``core`` and its collection stay what they are."""
    fresh = Representation.parse(core.representation.spec)
    started = time.perf_counter()
    kept = work if work.keeps else work.at(core.store.checkpoints)
    rng = np.random.default_rng(core.manifest.seed)
    learned, unseen = coverage.split(fresh, sample, rng)
    known, asked = coverage.split_queries(fresh, queries, rng)
    yield from step(lambda: fresh.fit(learned, queries=known, rng=core.manifest.seed, work=kept))
    seconds = time.perf_counter() - started
    digest = None
    if fresh.learns:
        data = artifacts.dump(fresh, core.dimension)
        digest = envelope.digest(data)
        yield from core.store.write_artifact(digest, data)
    points = learned if unseen is None else unseen
    # Before the first fit there is only what a recommendation brought: its figures are about reading by that curve.
    curve = core.manifest.coverage if fresh.learns and core.manifest.artifact is None else None
    if curve is None:
        curve = yield from step(lambda: _coverage(core, fresh, points, held_out=unseen is not None, queries=asked))
    manifest = replace(core.manifest, artifact=digest, coverage=curve)
    weighed = len(known) if known is not None and fresh.weighs_queries else 0
    count = given or len(sample)
    error = squared_error(fresh, sample[:: 1 + len(sample) // _JUDGED])
    seen = min(fresh.learns_from(count), len(learned))
    report = FitReport(count, sample.shape[1], seen, weighed, error, seconds, digest, curve)
    return Learned(fresh, manifest, report)


def _coverage(
    core: Core, fitted: Representation, x: FloatArray, *, held_out: bool, queries: FloatArray | None = None
) -> CoverageCurve | None:
    """The curve, or None: where it cannot be measured, a search goes by the assumed one, and info() says so."""
    try:
        return coverage.measure(fitted, x, core.distance, held_out=held_out, queries=queries, rng=core.manifest.seed)
    except (StoreError, OSError):
        # The engine found no temporary directory to work in; that must not cost a fit that took an hour.
        return None


def measure_coverage(core: Core, x: FloatArray) -> Flow[None]:
    """Measure on the first vectors (n, dim) stored what no fit has measured, and write it down."""
    if core.sparse_only or core.foreign or core.stages.fine is None or core.manifest.coverage is not None:
        return
    curve = yield from step(lambda: _coverage(core, core.representation, x, held_out=True))
    if curve is not None:
        core.manifest = replace(core.manifest, coverage=curve)
        yield from core.store.write_manifest(core.manifest.to_json())


def candidates_for(core: Core, limit: int, wanted: float | None) -> Flow[int | None]:
    """What the fine stage must score for ``limit`` answers; None where there is one stage.

    Parameters
    ----------
    core : Core
    limit : int
        Offset included.
    wanted : float or None
        Coverage; None for the default.
    """
    if core.stages.fine is None:
        return None
    points = yield from core.about_how_many()
    return core.coverage.candidates(limit, points, DEFAULT_COVERAGE if wanted is None else wanted)


def squared_error(representation: Representation, x: FloatArray) -> float:
    """Mean squared error of decoding ``x`` (n, dim), relative to the mean squared distance to its mean."""
    coarse, fine = representation.encode(x)
    decoded = representation.decode(coarse, "coarse") if fine is None else representation.decode(fine, "fine")
    spread = float(np.square(x - x.mean(0)).sum(1).mean())
    error = float(np.square(x - decoded).sum(1).mean())
    return error / spread if spread else error
