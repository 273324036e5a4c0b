"""The mark of a collection that is still being made, and what to say to whoever opens it."""

from __future__ import annotations

from collections.abc import Mapping

from octant.errors import UnfinishedError
from octant.records import JSON

KEY = "compress"
"""Name of the state that a compression keeps with its target."""


DONE = "done"
"""Its ``phase`` once the target is complete."""


def refuse(state: Mapping[str, JSON] | None, vector_name: str) -> None:
    """Refuse to open what a compression has begun and not completed.

    Parameters
    ----------
    state : mapping or None
        What the compression wrote down; None where there is none.
    vector_name : str
        The representation that is being opened. A collection that only gets further vectors opens by its others.

    Raises
    ------
    UnfinishedError
        Saying how to go on.
    """
    if state is None or state.get("phase") == DONE:
        return
    vectors = state.get("vectors") or ()
    if vectors and vector_name not in vectors:
        return
    raise UnfinishedError(
        f"this collection is the target of a compression that is not complete (next: {state.get('phase')}): run "
        f"{state.get('command')} again to go on, or add --overwrite to begin anew"
    )
