"""The report as Markdown for a pull request: the verdict first, what was gained, what failed; the rest folded away."""

from __future__ import annotations

from deploy.report.markdown.page import render

__all__ = ["render"]
