"""What was trained for a collection and is kept with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octant import attachments
from octant.attachments import Attachment, Part
from octant.flow import Flow
from octant.trained import TrainedPart

if TYPE_CHECKING:
    from octant.collection.collection import Collection


def corpus(collection: Collection) -> Flow[str]:
    """Identity of the documents, by which a trained part knows the collection it was trained on again.

    Made up when first asked for and kept with the collection; a compressed copy inherits it.

    Raises
    ------
    InputError
        While the collection has not been made.
    """
    return (yield from attachments.corpus(collection._core))


def attach(collection: Collection, part: TrainedPart) -> Flow[Attachment]:
    """Keep a trained part with the collection, in place of one of the same kind and spec.

    Raises
    ------
    MismatchError
        If it was trained for another embedding.
    InputError
        While the collection has not been made.
    """
    return (yield from attachments.attach(collection._core, part))


def attached(collection: Collection) -> Flow[tuple[Attachment, ...]]:
    """The trained parts that are kept with the collection for its embedding, by kind and spec."""
    return (yield from attachments.attached(collection._core))


def trained(collection: Collection, cls: type[Part], spec: str | None = None) -> Flow[Part | None]:
    """The attached part of a class, and of a spec where there are several; None if there is none.

    Raises
    ------
    InputError
        If there are several of its kind and no ``spec`` tells which.
    ArtifactError
        If its bytes are missing or damaged.
    """
    return (yield from attachments.find(collection._core, cls, spec))


def detach(collection: Collection, kind: str, spec: str | None = None) -> Flow[int]:
    """Forget the trained parts of ``kind``, or the one of ``spec`` among them; how many there were."""
    return (yield from attachments.detach(collection._core, kind, spec))
