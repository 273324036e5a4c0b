"""From a parsed spec to codecs: names looked up, arguments checked, composition checked.

Every refusal is a :class:`SpecError` that points at the wrong part of the text.
"""

from __future__ import annotations

from itertools import pairwise

from octant.construct import construct, refuse, registered
from octant.errors import InputError
from octant.quantizers.base import Quantizer, SecondCopy
from octant.quantizers.chain import Chain
from octant.records import Distance, StorageNeeds
from octant.spec import Call, Pipeline, SpecTree

DEFAULT_CODER = Pipeline((Call("float32"),))
DEFAULT_COARSE = Pipeline((Call("turbo4"),))
"""What searches for a format that Qdrant cannot search itself."""

_ANY_DIM = 1024
"""A dimension to ask for storage needs before the real one is known; only what does not depend on it is read."""


def chains(tree: SpecTree) -> tuple[Chain, Chain | None]:
    """The coarse chain and the fine one, if there are two stages.

    Raises
    ------
    SpecError
        For an unknown name, wrong arguments or codecs that do not fit together.
    """
    coarse = chain(tree.coarse, tree.text)
    searchable = scored(coarse.coder)
    if tree.fine is None:
        if searchable:
            return coarse, None
        reducers = tuple(reducer.blank() for reducer in coarse.reducers)
        return Chain(reducers, chain(DEFAULT_COARSE, tree.text).coder), coarse
    if not searchable:
        call = tree.coarse.calls[len(coarse.reducers)]
        refuse(f"{coarse.coder!r} is bytes that Qdrant cannot search: it can only be the fine stage", tree.text, call)
    fine = chain(tree.fine, tree.text)
    if fine.copy:
        refuse("a fine stage is not searched, so it takes no second copy", tree.text, tree.fine.calls[-1])
    return coarse, fine


def chain(pipeline: Pipeline, text: str) -> Chain:
    """The chain of one pipeline.

    Raises
    ------
    SpecError
        As for :func:`chains`.
    """
    links = [codec(call, text) for call in pipeline.calls]
    _check_order(links, pipeline, text)
    reducers = [link for link in links if link.role == "reduce"]
    coders = [link for link in links if link.role == "code"]
    copy = next((link for link in links if isinstance(link, SecondCopy)), None)
    coder = coders[0] if coders else chain(DEFAULT_CODER, text).coder
    if copy is not None:
        _check_copy(coder, copy, pipeline, text)
    return Chain(reducers, coder, copy)


def codec(call: Call, text: str) -> Quantizer:
    """The unfitted codec of one call.

    Raises
    ------
    SpecError
        For an unknown name or wrong arguments.
    PluginError
        If the plugin behind the name is not a quantizer of that name, or cannot be imported.
    """
    return construct(quantizer_class(call.name, call=call, text=text), call, text)


def quantizer_class(name: str, *, call: Call | None = None, text: str = "") -> type[Quantizer]:
    """The class registered as ``name``.

    Raises
    ------
    UnknownPluginError, or SpecError where a ``call`` in a spec names it
    PluginError
        If the plugin is not a quantizer of that name, or cannot be imported.
    """
    return registered("quantizers", Quantizer, name, call=call, text=text)  # type: ignore[type-abstract]


# -- composition ---------------------------------------------------------------------------------


def _check_order(links: list[Quantizer], pipeline: Pipeline, text: str) -> None:
    order = {"reduce": 0, "code": 1, "copy": 2}
    titles = {"reduce": "a reducer", "code": "a coder", "copy": "a second copy"}
    for (before, after), call in zip(pairwise(links), pipeline.calls[1:], strict=True):
        if order[after.role] < order[before.role]:
            what = f"{titles[after.role]}, {after!r}, must come before {titles[before.role]}, {before!r}"
            refuse(what, text, call)
        if after.role == before.role != "reduce":
            refuse(f"a pipeline has {titles[after.role]} at most once: {before!r} is one already", text, call)


def _check_copy(coder: Quantizer, copy: SecondCopy, pipeline: Pipeline, text: str) -> None:
    try:
        copy.over(_needs(coder))
    except InputError as error:
        refuse(f"{copy!r} cannot be laid over {coder!r}: {error}", text, pipeline.calls[-1], cause=error)


def scored(coder: Quantizer) -> bool:
    """Whether Qdrant can compare what ``coder`` stores."""
    return _needs(coder).scored


def _needs(coder: Quantizer) -> StorageNeeds:
    distance = next(member for member in Distance if member in coder.distances)
    return coder.storage(_ANY_DIM, distance)
