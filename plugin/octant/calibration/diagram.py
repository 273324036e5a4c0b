"""Reliability diagrams: in a terminal, as SVG, and as PNG where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from octant import durable
from octant.calibration.measures import Bin
from octant.errors import InputError, MissingExtraError

_WIDTH = 40
_SIZE = 320
_EDGE = 44


def reliability_text(bins: Sequence[Bin]) -> str:
    """A line for each bin: what was said, what came true, how many; ``#`` up to what came true, ``|`` at what was said.

    Examples
    --------
    >>> print(reliability_text([Bin(0.7, 0.8, 12, 0.75, 0.5)]))
    confidence  said   true   n
     .7 to .8    .75    .50   12  ####################..........|.........
    """
    lines = ["confidence  said   true   n"]
    for one in bins:
        bar = ["#" if place < round(one.share * _WIDTH) else "." for place in range(_WIDTH)]
        bar[min(round(one.confidence * _WIDTH), _WIDTH - 1)] = "|"
        span = f"{_short(one.low)} to {_short(one.high)}"
        lines.append(
            f" {span:<9} {_short(one.confidence, 2):>5}  {_short(one.share, 2):>5}   {one.count:<3} {''.join(bar)}"
        )
    return "\n".join(lines)


def reliability_svg(bins: Sequence[Bin], *, title: str = "Reliability") -> str:
    """A self-contained SVG: bars of what came true, the diagonal of what was promised, dots as large as their bins."""
    side, total = _SIZE + 2 * _EDGE, max(sum(one.count for one in bins), 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" role="img" font-family="sans-serif" '
        f'font-size="12" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f'<rect width="{side}" height="{side}" fill="#fff"/>',
        f'<text x="{side / 2}" y="22" text-anchor="middle" font-size="14">{escape(title)}</text>',
    ]
    for tick in range(0, 11, 2):
        x, y = _at(tick / 10, tick / 10)
        label = _short(tick / 10)
        parts.append(f'<text x="{x:.1f}" y="{_EDGE + _SIZE + 18}" text-anchor="middle">{label}</text>')
        parts.append(f'<text x="{_EDGE - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for one in bins:
        left, top = _at(one.low, one.share)
        right, bottom = _at(one.high, 0)
        told = f"said {one.confidence:.2f}, true {one.share:.2f}, n={one.count}"
        parts.append(
            f'<rect x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" height="{bottom - top:.1f}" '
            f'fill="#9ec5e8"><title>{told}</title></rect>'
        )
        x, y = _at(one.confidence, one.share)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + 8 * (one.count / total) ** 0.5:.1f}" fill="#1b4f83"/>')
    (x0, y0), (x1, y1) = _at(0, 0), _at(1, 1)
    parts += [
        f'<rect x="{_EDGE}" y="{_EDGE}" width="{_SIZE}" height="{_SIZE}" fill="none" stroke="#444"/>',
        f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#444" stroke-dasharray="5 4"/>',
        f'<text x="{side / 2}" y="{side - 6}" text-anchor="middle">confidence</text>',
        f'<text transform="translate(12 {side / 2}) rotate(-90)" text-anchor="middle">came true</text>',
        "</svg>",
    ]
    return "\n".join(parts)


def save_reliability(bins: Sequence[Bin], path: str | Path, *, title: str = "Reliability") -> None:
    """Write the diagram to ``path``: SVG or PNG, by its ending.

    Raises
    ------
    InputError
        If the name ends in neither, or the file cannot be written.
    MissingExtraError
        For PNG without matplotlib (extra ``report``).
    """
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png"):
        raise InputError(f"a reliability diagram is written to a name that ends in .svg or .png, got {path.name!r}")
    try:
        if path.suffix.lower() == ".svg":
            durable.write(path, reliability_svg(bins, title=title).encode())
        else:
            _save_png(bins, path, title)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}): name a file in a folder that is there") from error


def _save_png(bins: Sequence[Bin], path: Path, title: str) -> None:
    try:
        from matplotlib.figure import Figure  # no pyplot: it keeps figures, and asks for a screen
    except ImportError as error:
        raise MissingExtraError("a reliability diagram as PNG", module="matplotlib", extra="report") from error
    figure = Figure(figsize=(5, 5), dpi=120)
    axes = figure.subplots()
    axes.bar(
        [one.low for one in bins], [one.share for one in bins], width=[one.high - one.low for one in bins],
        align="edge", color="#9ec5e8", edgecolor="white",
    )  # fmt: skip
    total = max(sum(one.count for one in bins), 1)
    sizes = [10 + 250 * one.count / total for one in bins]
    axes.scatter([one.confidence for one in bins], [one.share for one in bins], s=sizes, color="#1b4f83", zorder=3)
    axes.plot([0, 1], [0, 1], color="#444444", linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="came true", title=title)
    figure.savefig(path)


def _at(x: float, y: float) -> tuple[float, float]:
    return _EDGE + x * _SIZE, _EDGE + (1 - y) * _SIZE


def _short(value: float, digits: int = 1) -> str:
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text
