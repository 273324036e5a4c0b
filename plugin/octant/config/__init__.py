"""A configuration, checked: what one YAML file or dict says of store, embeddings, search, reranking and choice.

Every model forbids what it does not know, and shows names rather than values, some of which are secrets.
"""

from octant.config.json_schema import schema
from octant.config.parts import Config, EmbeddingConfig
from octant.config.reading import read_config
from octant.errors import ConfigError

__all__ = ["Config", "ConfigError", "EmbeddingConfig", "read_config", "schema"]
