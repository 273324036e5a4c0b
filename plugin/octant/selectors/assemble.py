"""From a spec string to a selector: its name looked up, its arguments checked."""

from __future__ import annotations

from octant.construct import construct, registered
from octant.selectors.base import Selector
from octant.spec import Call, parse_selection


def selector_class(name: str, *, call: Call | None = None, text: str = "") -> type[Selector]:
    """The class registered as ``name``.

    Raises
    ------
    UnknownPluginError, or SpecError where a ``call`` in a spec names it
    PluginError
        If the plugin is not a selector of that name, or cannot be imported.
    """
    return registered("selectors", Selector, name, call=call, text=text)  # type: ignore[type-abstract]


def assembled(spec: str | Selector) -> Selector:
    """The selector of a spec, or the one that is given.

    Raises
    ------
    SpecError, InputError, PluginError
        As for :func:`octant.selector`.
    """
    if isinstance(spec, Selector):
        return spec
    call = parse_selection(spec)
    return construct(selector_class(call.name, call=call, text=spec), call, spec)
