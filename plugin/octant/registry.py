"""One door for plugins: entry points, read once as metadata, imported when they are named.

Groups are ``octant.quantizers``, ``octant.rerankers`` and ``octant.selectors``. Octant's own classes enter
the same way as a stranger's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from octant.errors import MissingExtraError, PluginClashError, PluginError, UnknownPluginError
from octant.spec import nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Group: TypeAlias = Literal["quantizers", "rerankers", "selectors"]
_OWN_PACKAGE = "qdrant-octant"


class PluginInfo(NamedTuple):
    """Where a plugin comes from.

    Attributes
    ----------
    name : str
        As it is written in a spec string.
    package : str
        The distribution that registers it.
    version : str
        Of that distribution.
    target : str
        ``"module:attribute"``.
    extras : tuple of str
        Extras of the package that it needs.
    """

    name: str
    package: str
    version: str
    target: str
    extras: tuple[str, ...] = ()


def names(group: Group) -> tuple[str, ...]:
    """Names registered in ``group``, sorted, without importing anything."""
    return tuple(sorted(_discover(group)))


def describe(group: Group) -> list[PluginInfo]:
    """Every registration in ``group``, sorted by name; a name that two packages claim appears twice."""
    return sorted(_info(entry) for entries in _discover(group).values() for entry in entries)


def load(group: Group, name: str) -> object:
    """The object behind ``name``.

    Raises
    ------
    UnknownPluginError
        If nobody registers the name; lists those that are registered.
    PluginClashError
        If two packages register it.
    MissingExtraError
        If it needs an extra that is not installed.
    PluginError
        If importing it fails; names the package.
    """
    entries = _discover(group).get(name, ())
    if not entries:
        raise UnknownPluginError(_unknown(group, name))
    if len(entries) > 1:
        claims = " and ".join(f"{info.package} ({info.target})" for info in map(_info, entries))
        raise PluginClashError(f"{name!r} in octant.{group} is registered by both {claims}: uninstall one of them")
    return _import(entries[0])


def _import(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except MissingExtraError:
        raise
    except Exception as error:  # whatever a stranger's module raises, the message must name the package
        raise _blame(_info(entry), error) from error


def _blame(info: PluginInfo, error: Exception) -> Exception:
    """The error to raise when importing a plugin raised ``error``."""
    hint = ""
    if isinstance(error, ModuleNotFoundError) and info.extras:
        if info.package == _OWN_PACKAGE:
            return MissingExtraError(info.name, module=error.name or str(error), extra=info.extras[0])
        hint = f"; perhaps pip install '{info.package}[{','.join(info.extras)}]' brings what it needs"
    return PluginError(
        f"the plugin {info.name!r} of the package {info.package} {info.version} cannot be imported from "
        f"{info.target}: {type(error).__name__}: {error}{hint}"
    )


def _unknown(group: Group, name: str) -> str:
    known = names(group)
    if not known:
        return f"no {group[:-1]} {name!r}: none is registered; pip install a package that registers it"
    extras = {info.name: info.extras[0] for info in describe(group) if info.extras}
    listed = ", ".join(f"{word} (extra {extras[word]})" if word in extras else word for word in known)
    return f"no {group[:-1]} {name!r}{nearest(name, known) or '.'} Known: {listed}"


def _info(entry: EntryPoint) -> PluginInfo:
    package, version = (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown package", "?")
    return PluginInfo(entry.name, package, version, f"{entry.module}:{entry.attr}", tuple(entry.extras))


def entry_points(group: str) -> Iterable[EntryPoint]:
    """Every installed entry point of ``group``."""
    from importlib import metadata  # dear to import, and needed once

    return metadata.entry_points(group=group)


@cache
def _discover(group: Group) -> Mapping[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=f"octant.{group}"):
        # One package found twice on the path (an editable install beside a wheel) is no clash.
        if all(_info(entry)[:4] != _info(other)[:4] for other in found.get(entry.name, ())):
            found[entry.name] = (*found.get(entry.name, ()), entry)
    return found
