"""The rankings that several embeddings gave for one query: apart, by the embedding's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from octant.errors import InputError
from octant.records import PointId, Ranking


@dataclass(frozen=True)
class Rankings(Mapping[str, Ranking]):
    """One ranking for every embedding that answered; a mapping from the embedding's name to its ranking.

    Scores of different embeddings are on different scales and are never mixed here: selectors do that, knowingly.

    Attributes
    ----------
    rankings : mapping from name to Ranking
        In the order in which the embeddings were asked for.
    failures : mapping from name to str
        Embeddings that were asked and could not answer, and why, in one line each. None of them is in ``rankings``.
    query : str or None
        The query text, when the search had one.

    Raises
    ------
    InputError
        If an embedding both answered and failed.

    Examples
    --------
    >>> from octant.records import Candidate
    >>> found = Rankings({"minilm": Ranking((Candidate("a", 0.7),))}, {"bge": "ConnectionError: refused"})
    >>> found["minilm"].ids, list(found), found.complete
    (('a',), ['minilm'], False)
    """

    rankings: Mapping[str, Ranking]
    failures: Mapping[str, str] = field(default_factory=dict)
    query: str | None = None

    def __post_init__(self) -> None:
        # Own copies: what the caller does with its dicts later is no concern of a frozen record.
        object.__setattr__(self, "rankings", dict(self.rankings))
        object.__setattr__(self, "failures", dict(self.failures))
        if both := [name for name in self.failures if name in self.rankings]:
            raise InputError(
                f"an embedding answers or fails, {', '.join(map(repr, both))} did both: give one of the two"
            )

    def __getitem__(self, name: str) -> Ranking:
        try:
            return self.rankings[name]
        except KeyError:
            reason = self.failures.get(name)
            known = ", ".join(map(repr, self.rankings)) or "none"
            told = f"{name!r} failed ({reason})" if reason is not None else f"{name!r} was not asked"
            raise KeyError(f"{told}; there are rankings of {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.rankings)

    def __len__(self) -> int:
        return len(self.rankings)

    @property
    def complete(self) -> bool:
        """Whether every embedding that was asked has answered."""
        return not self.failures

    @property
    def ids(self) -> tuple[PointId, ...]:
        """Every document that some embedding found, once: all best ones first, then all seconds, and so on."""
        deepest = max((len(ranking) for ranking in self.rankings.values()), default=0)
        found: dict[PointId, None] = {}
        for place in range(deepest):
            for ranking in self.rankings.values():
                if place < len(ranking):
                    found.setdefault(ranking[place].id)
        return tuple(found)

    def only(self, *names: str) -> Rankings:
        """What the embeddings ``names`` gave, as if no other had been asked.

        Raises
        ------
        KeyError
            For a name that was not asked.
        """
        for name in names:
            if name not in self.failures:
                self[name]
        chosen = {name: self.rankings[name] for name in names if name in self.rankings}
        failed = {name: self.failures[name] for name in names if name in self.failures}
        return Rankings(chosen, failed, self.query)
