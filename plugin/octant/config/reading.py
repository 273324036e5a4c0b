"""From a YAML file or a dict to a configuration, or to all of its mistakes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from octant import config_file
from octant.config.contradictions import contradictions
from octant.config.parts import Config, EmbeddingConfig, Part, nearest
from octant.config_file import Source, Where, key_of
from octant.errors import Problem

LONGEST_VALUE = 60


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
    apart = [Problem(key_of(where), told, found.line(where)) for where, told in contradictions(config)]
    if apart:
        raise found.error(apart)
    return _with_paths(config, found.folder)


def _problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    for entry in error.errors(include_url=False, include_input=False):
        where = _written(tuple(entry["loc"]), source)
        line = source.line(where)
        if entry["type"] == "extra_forbidden":
            known = _names_at(tuple(entry["loc"])[:-1])
            yield Problem(key_of(where), f"there is no such key{nearest(str(where[-1]), known)}", line)
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
