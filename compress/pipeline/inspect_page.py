"""What the engine knows of a network, handed to the page that draws it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compress.explanation import Explanation


_SHOWN_ELSEWHERE = {"file", "reachable", "out of reach", "protected"}


def write_page(
    explanation: Explanation, title: str, facts: Sequence[tuple[str, str]], path: Path, *, overwrite: bool
) -> None:
    """Write the page. ``facts`` are named lines on the network beside what is explained.

    Raises:
        InputError: ``path`` cannot be written.
    """
    from deploy.report.network import LayerBar, NetworkPage, Obstacle, WidthRow, write

    data = explanation.to_json()
    page = NetworkPage(
        title=title,
        facts=[(name, text) for name, text in facts if name not in _SHOWN_ELSEWHERE],
        macs=explanation.macs,
        params=explanation.params,
        layers=[LayerBar.model_validate(layer) for layer in data["layers"]],
        groups=[WidthRow.model_validate(group) for group in data["groups"]],
        obstacles=[Obstacle.model_validate(one) for one in data["out_of_reach"]["operators"]],
        macs_of_obstacles=explanation.obstacles.together,
        ignore=list(explanation.ignore),
    )
    write(page, path, overwrite=overwrite)
