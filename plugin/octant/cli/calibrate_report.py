"""The report of ``octant calibrate``: in a terminal, and as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from octant.cli.output import table

if TYPE_CHECKING:
    from octant.selectors.calibrating import CalibrationReport
    from octant.statistics import Estimate

_COVERAGES = (0.25, 0.5, 0.75, 0.9, 1.0)


def as_text(report: CalibrationReport) -> str:
    """Several lines: what was learned, what it gained, how good the confidences are, and their reliability."""
    from octant.calibration import reliability_text

    return "\n".join(
        [
            f"{report.spec} over {', '.join(report.embeddings)}; learned from {report.learned_from:,} questions, "
            f"measured on {report.held_out:,} others",
            f"learned: {report.learned}",
            "",
            table(["", "value", "95 % interval"], _rows(report)),
            "",
            f"confidence that {report.event}, against how often that was so ({report.share:.0%}):",
            reliability_text(report.bins),
            "",
            "answering only the surest:",
            table(["answered", "wrong"], [[f"{share:.0%}", f"{report.risk.at(share):.1%}"] for share in _COVERAGES]),
            _verdict(report),
        ]
    )


def as_html(report: CalibrationReport) -> str:
    """The same as a page."""
    from octant.calibration import reliability_svg

    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in _rows(report)
    )  # fmt: skip
    risks = "".join(f"<tr><td>{share:.0%}</td><td>{report.risk.at(share):.1%}</td></tr>" for share in _COVERAGES)
    title = f"Choosing between {', '.join(report.embeddings)}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem .2rem 0;text-align:left}}
svg{{max-width:24rem}}</style></head>
<body><h1>{escape(title)}</h1>
<p><code>{escape(report.spec)}</code> learned from {report.learned_from:,} questions and was measured on
{report.held_out:,} others. {escape(report.learned)}.</p>
<p>{escape(_verdict(report))}</p>
<table><tr><th></th><th>value</th><th>95 % interval</th></tr>{rows}</table>
<h2>Confidence that {escape(report.event)}</h2>
{reliability_svg(report.bins, title=report.event)}
<h2>Answering only the surest</h2>
<table><tr><th>answered</th><th>wrong</th></tr>{risks}</table>
</body></html>
"""


def _rows(report: CalibrationReport) -> list[list[str]]:
    named: list[tuple[str, Estimate | None]] = [
        ("nDCG@10", report.quality),
        (f"nDCG@10 of {report.best_single} alone", report.best_single_quality),
        ("gain over it", report.gain),
        ("AUROC", report.auroc),
        ("expected calibration error", report.calibration_error),
        ("Brier score", report.brier),
    ]
    rows = [_row(name, estimate) for name, estimate in named]
    area = ["area under risk and coverage", f"{report.risk.area:.3f}", ""]
    return [*rows, area, ["searches a question", f"{report.searches:.2f}", ""]]


def _row(name: str, estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return [name, "-", "all ended alike"]
    return [name, f"{estimate.value:.3f}", f"[{estimate.low:.3f}, {estimate.high:.3f}]"]


def _verdict(report: CalibrationReport) -> str:
    if len(report.embeddings) == 1:
        return "There is one embedding only: nothing to choose, and the confidence is about that one."
    if report.gain.low > 0:
        return f"It is better than {report.best_single} alone."
    if report.gain.high < 0:
        return f"It is worse than {report.best_single} alone: use that one, or judge more questions."
    return f"So many questions cannot tell it from {report.best_single} alone."
