"""What else than the graph decides widths: groups that must keep one share, and groups that must stay whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from compress.allocation import Granularity, Tied
from compress.axes.analysis import Analysis


@dataclass(frozen=True)
class Coupling:
    """Sets of groups without common members, and by name the groups that stay whole, with the reason."""

    tied: tuple[Tied, ...] = ()
    whole: Mapping[str, str] = field(default_factory=dict)


class Coupler(Protocol):
    """Knows how the widths of a network, and of all that pruning makes of it, are coupled."""

    def coupling(self, analysis: Analysis, granularity: Granularity) -> Coupling:
        """The coupling where kept channel counts are multiples of ``granularity``."""
