"""``python -m octant.config``: print the schema that is published as ``octant/config.schema.json``."""

import json
import sys

from octant.config.json_schema import schema

sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
