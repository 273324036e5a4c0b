"""The JSON schema of a configuration, by which editors complete and check."""

from __future__ import annotations

from typing import Any

from octant.config.parts import Config, Part, RerankConfig


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
