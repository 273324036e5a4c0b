"""The one door for plugins: lazy, by name, and loud when two packages claim one name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest

from octant import registry
from octant.errors import MissingExtraError, PluginClashError, PluginError, SpecError, UnknownPluginError
from octant.quantizers.arguments import count, one_of
from octant.quantizers.native import Float32
from octant.representation import quantizer

BUILT_IN = (
    "autoencoder", "binary", "bq", "float16", "float32", "float8", "int4", "int8", "kernel_pca", "leanvec", "opq",
    "pca", "product", "rabitq", "random_projection", "recurrent_binary", "scalar", "transform", "truncate", "turbo",
    "turbo16", "turbo4", "turbo8", "uint8", "umap", "whiten",
)  # fmt: skip

Register = Callable[..., None]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Pretend that packages register plugins: ``register(name, target, package="stranger")``."""
    entries: list[EntryPoint] = []

    def add(name: str, target: str, package: str = "stranger") -> None:
        entry = EntryPoint(name, target, "octant.quantizers")
        vars(entry).update(dist=SimpleNamespace(name=package, version="1.2"))
        entries.append(entry)

    monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in entries if e.group == group])
    registry._discover.cache_clear()
    yield add
    registry._discover.cache_clear()


def test_every_built_in_enters_by_entry_point() -> None:
    own = [info for info in registry.describe("quantizers") if info.package == "qdrant-octant"]
    assert tuple(info.name for info in own) == BUILT_IN
    assert all(info.target.startswith("octant.quantizers.") for info in own)
    for info in own:
        assert registry.load("quantizers", info.name).name == info.name  # type: ignore[attr-defined]


def test_names_are_known_without_importing_what_they_name() -> None:
    code = """
import sys
from octant import registry
assert "pca" in registry.names("quantizers")
assert registry.describe("quantizers")
assert "octant.quantizers.reduce" not in sys.modules, "names imported a plugin"
registry.load("quantizers", "pca")
assert "octant.quantizers.reduce" in sys.modules
assert "octant.quantizers.formats" not in sys.modules, "one name imported another"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_discovery_happens_once(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: calls.append(group) or [])
    for _ in range(3):
        registry.names("selectors")
    assert calls == ["octant.selectors"]


def test_a_strangers_quantizer_is_loaded_by_name(register: Register) -> None:
    register("float32", "octant.quantizers.native:Float32")
    assert registry.load("quantizers", "float32") is Float32
    assert registry.describe("quantizers") == [
        registry.PluginInfo("float32", "stranger", "1.2", "octant.quantizers.native:Float32", ())
    ]


def test_one_package_seen_twice_is_no_clash(register: Register) -> None:
    register("float32", "octant.quantizers.native:Float32")
    register("float32", "octant.quantizers.native:Float32")
    assert registry.load("quantizers", "float32") is Float32


def test_a_clash_names_both_packages_and_leaves_other_names_alone(register: Register) -> None:
    register("float32", "octant.quantizers.native:Float32")
    register("float8", "octant.quantizers.formats:Float8")
    register("float8", "other.module:Float8", package="rival")
    with pytest.raises(
        PluginClashError, match=r"'float8' .* registered by both stranger \(octant.*\) and rival \(other"
    ):
        registry.load("quantizers", "float8")
    assert registry.load("quantizers", "float32") is Float32
    assert [info.package for info in registry.describe("quantizers") if info.name == "float8"] == ["rival", "stranger"]


def test_an_unknown_name_lists_the_known_ones_with_their_extras(register: Register) -> None:
    register("neural", "stranger.neural:Neural [train]")
    register("plain", "stranger.plain:Plain")
    with pytest.raises(
        UnknownPluginError,
        match=r"no quantizer 'nueral'; did you mean 'neural'\? Known: neural \(extra train\), plain$",
    ):
        registry.load("quantizers", "nueral")


def test_an_unknown_name_in_an_empty_group_says_so(register: Register) -> None:
    with pytest.raises(UnknownPluginError, match="no reranker 'x': none is registered"):
        registry.load("rerankers", "x")


def test_a_module_that_fails_to_import_is_blamed_on_its_package(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("absent", "no_such_module_anywhere:Thing")
    register("attribute", "octant.errors:NoSuchName")
    with pytest.raises(PluginError, match=r"'absent' of the package stranger 1\.2 cannot be imported .*ModuleNotFound"):
        registry.load("quantizers", "absent")
    with pytest.raises(PluginError, match=r"'attribute' of the package stranger 1\.2 cannot be imported .*Attribute"):
        registry.load("quantizers", "attribute")


def test_a_missing_extra_names_the_line_to_install(register: Register) -> None:
    register("ours", "no_such_module_anywhere:Thing [train]", package="qdrant-octant")
    register("theirs", "no_such_module_anywhere:Thing [gpu]")
    with pytest.raises(MissingExtraError, match=r"pip install 'qdrant-octant\[train\]'"):
        registry.load("quantizers", "ours")
    with pytest.raises(PluginError, match=r"perhaps pip install 'stranger\[gpu\]'"):
        registry.load("quantizers", "theirs")


def test_a_plugin_that_is_no_quantizer_is_refused(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("a_strangers_module")
    vars(module)["text"] = "not a class"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    register("text", "a_strangers_module:text")
    register("double", "octant.quantizers.native:Float32")
    with pytest.raises(
        PluginError, match=r"'text' must be a subclass of octant\.quantizers\.Quantizer, got 'not a class'"
    ):
        quantizer("text")
    with pytest.raises(PluginError, match="'double' is a quantizer that calls itself 'float32'"):
        quantizer("double")


class Two(Float32):
    """A quantizer of several arguments, as a stranger may write one."""

    name = "two"

    def __init__(self, size: int, kind: str = "plain", deep: bool = False) -> None:
        self.size = count("size", size)
        self.kind = one_of("kind", kind, ("plain", "rich"))
        self.deep = deep


@pytest.fixture
def two(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("a_strangers_module")
    vars(module)["Two"] = Two
    monkeypatch.setitem(sys.modules, module.__name__, module)
    register("two", "a_strangers_module:Two")


@pytest.mark.parametrize(
    ("spec", "config", "canonical"),
    [
        ("two(3)", {"size": 3, "kind": "plain", "deep": False}, "two(3)"),
        ("two(kind=rich, size=3)", {"size": 3, "kind": "rich", "deep": False}, "two(3, rich)"),
        ("two(3, deep=true)", {"size": 3, "kind": "plain", "deep": True}, "two(3, deep=true)"),
        ("two(3, rich, TRUE)", {"size": 3, "kind": "rich", "deep": True}, "two(3, rich, true)"),
    ],
)
def test_arguments_bind_as_in_a_call(two: None, spec: str, config: dict[str, object], canonical: str) -> None:
    chain = quantizer(spec)
    assert chain.coder.config == config
    assert repr(chain) == canonical
    assert quantizer(canonical) == chain


@pytest.mark.parametrize(
    ("spec", "position", "message"),
    [
        ("two(3, poor)", 7, r"kind must be one of plain, rich, got 'poor' \(write it two\(size, kind, deep\)\)"),
        ("two(kind=poor, size=3)", 4, "kind must be one of plain, rich"),
        ("two(3, size=4)", 7, "two has no free argument 'size'"),
        ("two(kind=rich)", 0, "two needs the argument size"),
        ("two(3, rich, true, 4)", 19, "two takes 3 arguments; got another, 4"),
    ],
)
def test_a_wrong_argument_among_several_is_pointed_at(two: None, spec: str, position: int, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        quantizer(spec)
    assert caught.value.position == position
