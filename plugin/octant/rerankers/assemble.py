"""From a spec string to rerankers: names looked up, arguments checked, chained."""

from __future__ import annotations

from octant.construct import construct, refuse, registered
from octant.errors import InputError
from octant.rerankers.base import Reranker
from octant.rerankers.chain import Chain, Stage
from octant.rerankers.settings import whole
from octant.spec import Argument, Call, parse_reranking

TOP = "top"
"""The argument that every reranker of a spec takes beside its own: how many candidates it works on."""


def reranker_class(name: str, *, call: Call | None = None, text: str = "") -> type[Reranker]:
    """The class registered as ``name``.

    Raises
    ------
    UnknownPluginError, or SpecError where a ``call`` in a spec names it
    PluginError
        If the plugin is not a reranker of that name, or cannot be imported.
    """
    return registered("rerankers", Reranker, name, call=call, text=text)  # type: ignore[type-abstract]


def assembled(spec: str | Reranker) -> Reranker:
    """The reranker of a spec, or the one that is given.

    Raises
    ------
    SpecError, InputError, PluginError, MissingExtraError
        As for :func:`octant.reranker`.
    """
    if isinstance(spec, Reranker):
        return spec
    links = [_link(call, spec) for call in parse_reranking(spec)]
    return links[0].reranker if len(links) == 1 and links[0].top is None else Chain(links)


def _link(call: Call, text: str) -> Stage:
    own = tuple(argument for argument in call.arguments if argument.keyword != TOP)
    top = next((argument for argument in call.arguments if argument.keyword == TOP), None)
    built = construct(reranker_class(call.name, call=call, text=text), Call(call.name, own, call.position), text)
    return Stage(built, None if top is None else _top(top, text))


def _top(argument: Argument, text: str) -> int:
    try:
        return whole(TOP, argument.value, least=1)
    except InputError as error:
        refuse(str(error), text, argument, cause=error)
