"""``octant.selector``: from a spec string to a selector that knows what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from octant.flow import Flow, blocking, step

if TYPE_CHECKING:
    from octant.selectors import Calibration, LearnedSelection, Selector


def _selector(
    spec: str | Selector,
    *,
    learned: LearnedSelection | str | Path | None = None,
    calibration: Calibration | str | Path | None = None,
    collection: Any = None,
) -> Flow[Selector]:
    """The selector of a spec string.

    Parameters
    ----------
    spec : str or Selector
        A name from ``octant plugins`` with its arguments: ``"fuse"``, ``"cascade(rate=0.3)"``.
    learned : LearnedSelection or path, optional
        What it learned earlier, or the file that holds it.
    calibration : Calibration or path, optional
        What makes its confidences probabilities.
    collection : Collection, optional
        The one that will be searched. What is attached to it is used where nothing else is given, and what was made
        for other models is refused.

    Raises
    ------
    SpecError
        If ``spec`` has a mistake: what, where, and the nearest that would be right.
    InputError
        If ``learned`` belongs to another selector.
    PluginError
        If the plugin behind a name is no selector, or cannot be imported.
    ArtifactError
        If a file is missing or damaged.
    MismatchError
        If what was learned, or the calibration, was made for other embeddings.

    Examples
    --------
    >>> selector("fuse(by=ranks)").learns
    True
    """
    # Here, not above: most programs that import octant choose among nothing.
    from octant.selectors.assemble import assembled
    from octant.selectors.learned import LearnedSelection
    from octant.selectors.weak_retrieval import Calibration

    built = assembled(spec)
    part = LearnedSelection.load(learned) if isinstance(learned, str | Path) else learned
    checked = Calibration.load(calibration) if isinstance(calibration, str | Path) else calibration
    if collection is None or collection.dimension is None:  # nothing is attached to what is not made yet
        return built.using(part, checked)
    if part is None and built.learns:
        name = repr(built)
        part = yield from step(
            lambda: collection.trained(LearnedSelection, name), lambda: collection.atrained(LearnedSelection, name)
        )
    if checked is None:
        checked = yield from step(lambda: collection.trained(Calibration), lambda: collection.atrained(Calibration))
    corpus = yield from step(collection.corpus, collection.acorpus)
    known = {name: info.model for name, info in collection.embeddings.items()}
    named = {name for one in (part, checked) if one is not None for name in one.identities}
    identities = {name: model for name, model in known.items() if name in named}
    return built.using(part, checked, identities=identities, corpus=corpus)


selector = blocking(_selector)
