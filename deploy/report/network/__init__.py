"""A page that explains one network: its layers, its widths, what can shrink, what cannot and why.

It stands here because it is made of the report's own parts (page, style, tables, escaping) and of plain data; who knows
networks fills in :class:`NetworkPage`.
"""

from __future__ import annotations

from deploy.report.network.page import render, write
from deploy.report.network.schema import LayerBar, NetworkPage, Obstacle, WidthRow

__all__ = ["LayerBar", "NetworkPage", "Obstacle", "WidthRow", "render", "write"]
