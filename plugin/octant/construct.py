"""From a call in a spec string to an object: its class looked up, arguments bound and checked.

Every refusal is a :class:`SpecError` that points at the wrong part of the text.
"""

from __future__ import annotations

import inspect
from typing import ClassVar, NoReturn, Protocol, TypeVar

from octant import registry
from octant.errors import InputError, PluginError, SpecError, UnknownPluginError
from octant.spec import Argument, Call, nearest


class Named(Protocol):
    """What a plugin class says about itself."""

    name: ClassVar[str]
    usage: ClassVar[str]


T = TypeVar("T", bound=Named)


def construct(cls: type[T], call: Call, text: str) -> T:
    """An object of ``cls`` with the arguments of ``call``.

    Raises
    ------
    SpecError
        For wrong arguments; where the constructor's message opens with an argument's name, it points there.
    """
    arguments = _bind(cls, call, text)
    try:
        return cls(**{name: argument.value for name, argument in arguments.items()})
    except InputError as error:
        culprit = _culprit(str(error), arguments) or call
        refuse(f"{call.name}: {error}{_usage(cls)}", text, culprit, cause=error)
    except TypeError as error:  # a word where a number is compared, in a constructor that does not look first
        refuse(f"{call.name} takes no such arguments: {error}{_usage(cls)}", text, call, cause=error)


def registered(group: registry.Group, base: type[T], name: str, *, call: Call | None = None, text: str = "") -> type[T]:
    """The class that is registered in ``group`` as ``name``; a ``call`` is the place in a spec that names it.

    Raises
    ------
    UnknownPluginError, or SpecError where there is a ``call``
    PluginError
        If the plugin is no subclass of ``base`` of that name, or cannot be imported.
    """
    try:
        cls = registry.load(group, name)
    except UnknownPluginError as error:
        if call is None:
            raise
        raise SpecError(str(error), text=text, position=call.position, token=name) from error
    kind = group.removesuffix("s")
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(f"the plugin {name!r} must be a subclass of octant.{group}.{base.__name__}, got {cls!r}")
    if cls.name != name:
        raise PluginError(f"the plugin {name!r} is a {kind} that calls itself {cls.name!r}: the two must be equal")
    return cls


def refuse(message: str, text: str, part: Call | Argument, *, cause: Exception | None = None) -> NoReturn:
    """Point at ``part`` of the spec ``text``.

    Raises
    ------
    SpecError
    """
    raise SpecError(message, text=text, position=part.position, token=str(part)) from cause


def _bind(cls: type[Named], call: Call, text: str) -> dict[str, Argument]:
    parameters = inspect.signature(cls).parameters
    free = list(parameters)
    bound: dict[str, Argument] = {}
    for argument in call.arguments:
        if argument.keyword is None and not free:
            wanted = f"takes {len(parameters) or 'no'} argument{'s' * (len(parameters) != 1)}"
            refuse(f"{call.name} {wanted}; got another, {argument}{_usage(cls)}", text, argument)
        if argument.keyword is not None and argument.keyword not in free:
            hint = nearest(argument.keyword, free)
            refuse(f"{call.name} has no free argument {argument.keyword!r}{hint}{_usage(cls)}", text, argument)
        name = argument.keyword or free[0]
        free.remove(name)
        bound[name] = argument
    for name in free:
        if parameters[name].default is inspect.Parameter.empty:
            refuse(f"{call.name} needs the argument {name}{_usage(cls)}", text, call)
    return bound


def _culprit(message: str, arguments: dict[str, Argument]) -> Argument | None:
    """The argument that a constructor's message opens with."""
    return arguments.get(message.split(" ", 1)[0])


def _usage(cls: type[Named]) -> str:
    signature = ", ".join(inspect.signature(cls).parameters)
    return f" (write it {cls.usage or (f'{cls.name}({signature})' if signature else cls.name)})"
