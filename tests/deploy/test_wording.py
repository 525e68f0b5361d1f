from __future__ import annotations

import pytest

from deploy import wording


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "5 %"), (0.05123, "5.12 %"), (1.5, "150 %"), (-0.004, "-0.4 %"), (0.0, "0 %")]
)
def test_percentages_read_well(value: float, text: str) -> None:
    assert wording.percent(value) == text
