"""What can be said, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from octant.layout import HnswSettings, MemoryPlacement, SearchKnobs
from octant.representation import Representation

T = TypeVar("T")


def nearest(name: str, known: list[str]) -> str:
    """What to add to a complaint about ``name``: the key that was meant, or those that there are."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; the keys here are {', '.join(known)}" if known else ""


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
                raise ValueError(f"has no {name!r}{nearest(str(name), names)}")
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
