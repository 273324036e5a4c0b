"""Prints every broken configuration with the message it gets: ``python tests/errors/config_table.py``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from made_configs import BROKEN, ENVIRONMENT
from octant.config import read_config
from octant.errors import ConfigError


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "octant.yaml"
        for number, broken in enumerate(BROKEN, start=1):
            path.write_text(broken.text)
            try:
                read_config(path, ENVIRONMENT)
                told = "NO ERROR"
            except ConfigError as error:
                told = "\n".join(map(str, error.problems))
            shown = broken.text.rstrip().replace("\n", "\n      ")
            print(f"{number:3}   {shown}\n      → {told}\n")


if __name__ == "__main__":
    main()
