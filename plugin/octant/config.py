"""A configuration, checked: what one YAML file or dict says of store, embeddings, search, reranking and choice.

Every model forbids what it does not know, and shows names rather than values, some of which are secrets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from octant import config_file
from octant.config_file import Source, Where, key_of
from octant.errors import ConfigError, Problem
from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.representation import Representation

T = TypeVar("T")
LONGEST_VALUE = 60


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, got true or false")  # noqa: TRY004  # pydantic collects ValueErrors
    return value


def _known(cls: type[T]) -> BeforeValidator:
    """Refuse settings that a dataclass does not have; pydantic would pass them over."""
    names = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]

    def check(value: Any) -> Any:
        for name in value if isinstance(value, Mapping) else ():
            if name not in names:
                raise ValueError(f"has no {name!r}{_nearest(str(name), names)}")
        return value

    return BeforeValidator(check)


Count: TypeAlias = Annotated[int, BeforeValidator(_number), Field(ge=1)]
Seconds: TypeAlias = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]
Spec: TypeAlias = Annotated[str, Field(min_length=1)]
Hnsw: TypeAlias = Annotated[HnswSettings, _known(HnswSettings)]
Held: TypeAlias = Annotated[MemoryPlacement, _known(MemoryPlacement)]
Knobs: TypeAlias = Annotated[SearchKnobs, _known(SearchKnobs)]


class Part(BaseModel):
    """What all parts of a configuration have in common."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True, protected_namespaces=()
    )

    @classmethod
    def short(cls) -> str:
        """The key that a value alone means; empty where it means nothing."""
        return ""

    @model_validator(mode="before")
    @classmethod
    def _of_short_form(cls, value: Any) -> Any:
        if isinstance(value, Mapping | cls) or not cls.short() or value is None:
            return value
        return {cls.short(): value}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self.model_fields_set))})"

    __str__ = __repr__


class StoreConfig(Part):
    """Where the collection is: a directory, an http(s) URL, ":memory:", or in a dict a Qdrant client."""

    location: Any = Field(default=":memory:", json_schema_extra={"type": "string"})
    api_key: SecretStr | None = None
    prefer_grpc: bool | None = None
    timeout: Count | None = Field(default=None, description="Seconds, for servers.")
    client_options: dict[str, Any] = Field(default_factory=dict, description="What else QdrantClient takes.")
    collection_options: dict[str, Any] = Field(default_factory=dict, description="What create_collection takes.")

    @classmethod
    def short(cls) -> str:
        """A location alone."""
        return "location"

    def options(self) -> dict[str, Any] | None:
        """Arguments of the client; the secret among them."""
        key = self.api_key.get_secret_value() if self.api_key else None
        named = {"api_key": key or None, "prefer_grpc": self.prefer_grpc, "timeout": self.timeout}
        return {name: value for name, value in named.items() if value is not None} | self.client_options or None


class EmbeddingConfig(Part):
    """One embedding: its model, and how its vectors are stored."""

    model: Any = Field(
        default=None,
        description="Name or path of a sentence-transformers model, or provider:model as LangChain names it.",
        json_schema_extra={"type": "string"},
    )
    options: dict[str, Any] = Field(default_factory=dict, description="For the model of a provider.")
    represent: Spec | None = Field(default=None, description='e.g. "turbo8" or "pca(192)|float8".')
    distance: Literal["cosine", "dot", "euclid", "manhattan"] | None = None
    dimension: Count | None = None
    hnsw: Hnsw | None = None
    placement: Held | None = None
    knobs: Knobs | None = None
    recommendation: str | None = Field(default=None, description="The recommendation.json of octant tune.")

    @classmethod
    def short(cls) -> str:
        """A model alone."""
        return "model"

    @field_validator("represent")
    @classmethod
    def _spec(cls, value: str | None) -> str | None:
        return None if value is None else Representation.parse(value).spec

    def terms(self) -> dict[str, Any]:
        """What it says of the vectors, without the model."""
        own = {name: getattr(self, name) for name in type(self).model_fields if name not in ("model", "options")}
        return {name: value for name, value in own.items() if value is not None}


class SearchConfig(Part):
    """How documents are found."""

    k: Count = 5
    candidates: Count = Field(default=50, description="Found before reranking.")
    mode: Literal["dense", "sparse", "hybrid"] = "dense"
    fusion: Literal["rrf", "dbsf"] = "rrf"
    embedding: str | None = Field(default=None, description="Which of several is asked; the first one without it.")
    filter: dict[str, Any] | None = Field(default=None, description="Qdrant's REST form.")
    score_threshold: float | None = None
    knobs: Knobs | None = None
    timeout: Seconds | None = Field(default=None, description="Seconds that each of several models has.")


class PricesConfig(Part):
    """For a million tokens, in any currency."""

    input: Annotated[float, BeforeValidator(_number), Field(ge=0)]
    output: Annotated[float, BeforeValidator(_number), Field(ge=0)]


class RerankConfig(Part):
    """How what was found is put in a better order."""

    spec: Spec
    max_calls: Count | None = None
    max_tokens: Count | None = None
    max_seconds: Seconds | None = None
    on_failure: Literal["first_stage", "raise"] = "first_stage"
    cache: str | None = Field(default=None, description="A file that keeps answers between runs.")
    concurrency: Count = 8
    retries: Annotated[int, BeforeValidator(_number), Field(ge=0)] = 4
    timeout: Seconds | None = None
    prices: PricesConfig | None = None
    shuffle: bool = False
    seed: int = 0
    trained: list[str] = Field(default_factory=list, description="Files of what was trained.")

    @classmethod
    def short(cls) -> str:
        """A spec alone."""
        return "spec"

    @field_validator("spec", mode="before")
    @classmethod
    def _chain(cls, value: Any) -> Any:
        return " > ".join(map(str, value)) if isinstance(value, list) and value else value

    @field_validator("spec")
    @classmethod
    def _spec(cls, value: str) -> str:
        from octant.rerankers.assemble import assembled  # most configurations rerank nothing

        assembled(value)
        return value


class CutoffConfig(Part):
    """What leaves out the irrelevant: a trained cutoff from a file, or "attached" to the collection."""

    file: Spec

    @classmethod
    def short(cls) -> str:
        """A file alone."""
        return "file"


class SelectConfig(Part):
    """How one ranking is made of those of several embeddings."""

    spec: Spec
    embeddings: list[str] | None = Field(default=None, min_length=1, description="For a cascade the cheapest first.")
    learned: str | None = Field(default=None, description="The file of what was learned; what is attached without it.")
    calibration: str | None = None

    @classmethod
    def short(cls) -> str:
        """A spec alone."""
        return "spec"

    @field_validator("spec")
    @classmethod
    def _spec(cls, value: str) -> str:
        from octant.selectors.assemble import assembled

        assembled(value)
        return value


class ChatModelConfig(Part):
    """The chat model that reranks and answers."""

    name: Any = Field(description="provider:model", json_schema_extra={"type": "string"})
    api_key: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="temperature, base_url, …")

    @classmethod
    def short(cls) -> str:
        """A name alone."""
        return "name"

    @field_validator("name")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        provider, _, model = value.partition(":") if isinstance(value, str) else ("an", "", "object")
        if not (provider.strip() and model.strip()):
            raise ValueError("a chat model is named provider:model, e.g. openai:gpt-4o-mini")
        return value


class ConfidenceConfig(Part):
    """When nothing is good enough."""

    abstain_below: Share


class Config(Part):
    """Everything that :func:`octant.from_config` reads."""

    collection: str = Field(min_length=1)
    create: bool = Field(default=False, description="Make the collection where it is not there.")
    store: StoreConfig = StoreConfig()
    embedding: EmbeddingConfig | None = None
    embeddings: dict[str, EmbeddingConfig] | None = Field(default=None, min_length=1)
    sparse: str | None = Field(default=None, description='"bm25", or with arguments: bm25(language="german").')
    vector_name: str = ""
    sparse_name: str = "sparse"
    text_key: str = "page_content"
    metadata_key: str | None = Field(default="metadata", description="Of LangChain's metadata; null: all the payload.")
    seed: int = 0
    search: SearchConfig = SearchConfig()
    rerank: RerankConfig | None = None
    cutoff: CutoffConfig | None = None
    select: SelectConfig | None = None
    model: ChatModelConfig | None = None
    confidence: ConfidenceConfig | None = None

    @field_validator("sparse")
    @classmethod
    def _encoder(cls, value: str | None) -> str | None:
        from octant.sparse import sparse_encoder

        return None if value is None else sparse_encoder(value).identity


# -- reading one ---------------------------------------------------------------------------------


def read_config(
    source: str | os.PathLike[str] | Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Config:
    """The configuration in a YAML file or a dict.

    Parameters
    ----------
    source : path, or mapping
        ``${NAME}`` and ``${NAME:-default}`` in it are replaced by the environment. Files are named relative to its
        folder.
    environment : mapping, optional
        ``os.environ`` without it.

    Raises
    ------
    ConfigError
        All mistakes, each with its line and key. No value that came from the environment is shown.
    """
    found = config_file.read(source, environment)
    try:
        config = Config.model_validate(found.values)
    except ValidationError as error:
        raise found.error(list(_problems(error, found))) from None
    apart = [Problem(key_of(where), told, found.line(where)) for where, told in _contradictions(config)]
    if apart:
        raise found.error(apart)
    return _with_paths(config, found.folder)


def _problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    for entry in error.errors(include_url=False, include_input=False):
        where = _written(tuple(entry["loc"]), source)
        line = source.line(where)
        if entry["type"] == "extra_forbidden":
            known = _names_at(tuple(entry["loc"])[:-1])
            yield Problem(key_of(where), f"there is no such key{_nearest(str(where[-1]), known)}", line)
        elif entry["type"] == "missing":
            yield Problem(key_of(tuple(entry["loc"])), "is missing", line)
        elif (variable := source.variable(where)) is not None and _value(source, where) is not None:
            yield Problem(key_of(where), f"what {variable} holds is not right here (its value is not shown)", line)
        elif entry["type"] == "model_type":
            yield Problem(key_of(where), f"expected keys and values: {', '.join(_names_at(where))}", line)
        else:
            told = re.sub("^(Value error, |(?=Input|String|List|Dictionary)[A-Z][a-z]+ )", "", entry["msg"])
            yield Problem(key_of(where), f"{told}{_got(source, where, entry['type'])}", line)


def _written(loc: Where, source: Source) -> Where:
    """``loc`` as it was written: a short form has no key for what it means."""
    where: Where = ()
    value: Any = source.values
    for part in loc:
        there = part in value if isinstance(value, Mapping) else isinstance(value, list) and isinstance(part, int)
        if not there or (isinstance(value, list) and int(part) >= len(value)):
            break
        value, where = value[part], (*where, part)
    return where


def _value(source: Source, where: Where) -> Any:
    value: Any = source.values
    for part in where:
        value = value[part]
    return value


def _got(source: Source, where: Where, kind: str) -> str:
    value = _value(source, where)
    if kind == "value_error" or isinstance(value, Mapping | list) or "api_key" in where or "options" in str(where):
        return ""
    shown = repr(value)
    return f"; got {shown if len(shown) <= LONGEST_VALUE else shown[:LONGEST_VALUE] + '…'}"


def _names_at(where: Where) -> list[str]:
    """Keys that the part of a configuration at ``where`` can have."""
    model: Any = Config
    for part in where:
        field = model.model_fields.get(str(part)) if isinstance(model, type) and issubclass(model, Part) else None
        model = _part_of(field.annotation) if field is not None else model
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, Part) else []


def _part_of(annotation: Any) -> Any:
    """The model within ``Model | None`` or ``dict[str, Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _part_of(inner)) is not None), None)


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; the keys here are {', '.join(known)}" if known else ""


def _contradictions(config: Config) -> Iterator[tuple[Where, str]]:
    """What is right by itself and wrong together."""
    search, select = config.search, config.select
    if config.embedding is not None and config.embeddings is not None:
        yield ("embedding",), "embedding is the one, embeddings are several by name: give one of the two"
    names = [*(config.embeddings or ()), config.sparse_name]
    if config.embeddings is not None and config.sparse_name in config.embeddings:
        yield ("embeddings", config.sparse_name), "is the name of the sparse vector: give it another, or sparse_name"
    asked: list[tuple[Where, str]] = [(("search", "embedding"), search.embedding)] if search.embedding else []
    asked += [
        (("select", "embeddings", place), name)
        for place, name in enumerate((select.embeddings if select else None) or [])
    ]
    if config.embeddings is not None:
        for where, name in asked:
            if name not in names:
                yield where, f"there is no embedding {name!r}{_nearest(name, names)}"
    if select is not None or config.confidence is not None:
        why = "select" if select is not None else "confidence"
        for key in ("embedding", "score_threshold"):
            if getattr(search, key) is not None:
                yield ("search", key), f"is for one embedding, and {why} asks several: leave one of them out"
        if search.mode != "dense":
            yield ("search", "mode"), f"{why} asks the sparse embedding too: leave the mode out"
        if config.cutoff is not None:
            yield ("cutoff",), f"reads the scores of one embedding, and {why} asks several: leave one of them out"
    if config.cutoff is not None and search.mode != "dense":
        yield ("cutoff",), f"judges the scores of a dense search; search.mode is {search.mode}"
    if config.rerank is not None and search.candidates < search.k:
        yield ("search", "candidates"), f"is less than k ({search.k}): reranking needs candidates to choose from"
    if search.timeout is not None and select is None and config.confidence is None:
        yield ("search", "timeout"), "is for several embeddings: add select, or leave it out"
    for where, one in _embeddings(config):
        if one.recommendation and (decided := [key for key in _RECOMMENDED if getattr(one, key) is not None]):
            yield (*where, "recommendation"), f"decides {', '.join(decided)}: leave that out, or the recommendation"


_RECOMMENDED = ("represent", "hnsw", "placement", "knobs")


def _embeddings(config: Config) -> Iterator[tuple[Where, EmbeddingConfig]]:
    if config.embedding is not None:
        yield ("embedding",), config.embedding
    for name, one in (config.embeddings or {}).items():
        yield ("embeddings", name), one


# -- paths ---------------------------------------------------------------------------------------


def _with_paths(config: Config, folder: Path) -> Config:
    """The configuration with the files that it names relative to ``folder``."""

    def at(value: Any) -> Any:
        return str(folder / Path(value).expanduser()) if isinstance(value, str) else value

    def changed(part: Part | None, **values: Any) -> Any:
        return None if part is None else part.model_copy(update={key: at(value) for key, value in values.items()})

    def model(one: EmbeddingConfig) -> EmbeddingConfig:
        given = one.model
        is_path = isinstance(given, str) and given.startswith(("./", "../", "~", "/"))
        updated = {"model": at(given)} if is_path else {}
        return one.model_copy(update={**updated, "recommendation": at(one.recommendation)})

    location, rerank, select, cutoff = config.store.location, config.rerank, config.select, config.cutoff
    elsewhere = not isinstance(location, str) or location == ":memory:" or location.startswith(("http://", "https://"))
    update: dict[str, Any] = {
        "store": config.store if elsewhere else changed(config.store, location=location),
        "embedding": None if config.embedding is None else model(config.embedding),
        "embeddings": config.embeddings and {name: model(one) for name, one in config.embeddings.items()},
        "select": select and changed(select, learned=select.learned, calibration=select.calibration),
        "cutoff": cutoff if cutoff is None or cutoff.file == "attached" else changed(cutoff, file=cutoff.file),
    }
    if rerank is not None:
        trained = [at(file) for file in rerank.trained]
        update["rerank"] = rerank.model_copy(update={"cache": at(rerank.cache), "trained": trained})
    return config.model_copy(update={key: value for key, value in update.items() if value is not None})


def schema() -> dict[str, Any]:
    """JSON schema of the file, by which editors complete and check; short forms included."""
    found = Config.model_json_schema()
    for part in Part.__subclasses__():
        definition = found.get("$defs", {}).get(part.__name__)
        key = part.short()
        if definition is not None and key:
            alone = {"type": ["string", "array"], "items": {"type": "string"}} if part is RerankConfig else {
                "type": "string"
            }  # fmt: skip
            found["$defs"][part.__name__] = {"anyOf": [alone, definition]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "Configuration of Octant",
    }


__all__ = ["Config", "ConfigError", "read_config", "schema"]

if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
