"""Get the mean of some runs back out of running means."""

from __future__ import annotations

from collections.abc import Sequence


class Cumulative:
    """The running means after each run, as a runtime gives them that cuts them off to whole units."""

    def __init__(self, means: Sequence[float]) -> None:
        # What was cut off is half a unit on average.
        self._totals = [0.0, *((mean + 0.5) * (number + 1) for number, mean in enumerate(means))]

    def mean(self, runs: Sequence[int]) -> float:
        """Return the mean over ``runs`` (numbers from 0, ascending), always above 0.

        Only differences over stretches of consecutive runs are taken: each costs an error of about as many units as
        there were runs before it, divided by the number of runs.
        """
        stretches: list[list[int]] = []
        for number in runs:
            if stretches and stretches[-1][1] == number:
                stretches[-1][1] = number + 1
            else:
                stretches.append([number, number + 1])
        total = sum(self._totals[end] - self._totals[start] for start, end in stretches)
        # An operator of less than a unit can come out below 0: then all that is known is that it took less than one.
        return total / len(runs) if total > 0 else min(0.5, self._totals[-1] / (len(self._totals) - 1))
