"""The parts of ``report.html``: markup, axes, one module a section, the style sheet and the script."""
