"""From equations to a coupling: which groups keep one share, and which stay whole, so that every equation holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from compress.allocation import Granularity, Ladder, Tied
from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.coupling import Coupling
from compress.eager.equations import Arithmetic, Equation, Number, Place, Uncut, nodes_of, value
from compress.lengths import Lengths

_SAMPLES = 8
_MOST = 8  # sets of groups in one equation of which every selection is tried


def couple(analysis: Analysis, equations: Iterable[Equation], granularity: Granularity) -> Coupling:
    """Couple the groups of ``analysis`` so that ``equations`` hold for all widths that are then left to choose from.

    Each equation that does not hold by itself is settled in turn: some of the groups in it stay whole, the others keep
    one share, such that most widths are left. (For a width that must be heads times head width: all of the heads, and
    of the width and the head width the same share; or of the width and the heads.)
    """
    solver = _Solver(analysis, equations, granularity)
    while solver.settle_all():
        pass
    return solver.coupling()


class _Solver:
    def __init__(self, analysis: Analysis, equations: Iterable[Equation], granularity: Granularity) -> None:
        self._groups = analysis.prunable
        self._granularity = granularity
        self._set = list(range(len(self._groups)))  # the number of the set that each group is in
        self._lines: dict[int, str] = {}  # of a group: what settled its set, or made it whole
        self._whole: set[int] = set()
        self._rungs = [self._shares([position]) for position in range(len(self._groups))]
        self._full = np.array([group.width for group in self._groups], np.float64)
        self._lengths = Lengths(analysis.atoms, self._groups)
        self._atoms = analysis.atoms
        nodes = nodes_of(analysis)
        self._axes: dict[int, Array] = {}  # by row of the table
        self._owned: dict[int, set[int]] = {}  # groups, likewise
        self._rows: dict[Place, int] = {}
        for place in (place for each in equations for place in each.places()):
            axis = place.axis(analysis, nodes)
            self._rows[place] = self._lengths.row(axis)
            self._axes.setdefault(self._rows[place], axis)
        self._table = self._lengths.packed()
        self._equations = self._distinct(equations)

    def coupling(self) -> Coupling:
        """What was found."""
        sets = [self._members(number) for number in sorted(set(self._set))]
        tied = (members for members in sets if len(members) > 1 and members[0] not in self._whole)
        return Coupling(
            tuple(Tied(tuple(self._groups[at].name for at in members), self._tie(members)) for members in tied),
            {self._groups[at].name: f"{self._lines[at]} needs it whole" for at in sorted(self._whole)},
        )

    def _tie(self, members: Sequence[int]) -> str:
        lines = dict.fromkeys(self._lines[at] for at in members if at in self._lines)
        return f"in step with {len(members) - 1} other width{'s' * (len(members) > 2)} for {', '.join(list(lines)[:2])}"

    def _distinct(self, equations: Iterable[Equation]) -> list[Equation]:
        """Equations that speak of the same lengths are one."""
        first: dict[int, Place] = {}
        for place, row in self._rows.items():
            first.setdefault(row, place)

        def renamed(number: Number) -> Number:
            if isinstance(number, Place):
                return first[self._rows[number]]
            if isinstance(number, Uncut):
                return int(self._axes[self._rows[number.place]].size)
            if isinstance(number, Arithmetic):
                return Arithmetic(number.function, renamed(number.left), renamed(number.right))
            return number

        found: dict[tuple[Number, Number], Equation] = {}
        for each in equations:
            left, right = renamed(each.left), renamed(each.right)
            if left != right:
                found.setdefault((left, right), Equation(left, right, each.line))
        return list(found.values())

    def settle_all(self) -> bool:
        """Settle every equation that does not hold; say whether that changed anything."""
        before = [*self._set], len(self._whole)
        for equation in self._equations:
            if not self._holds(equation, self._sampled(equation)):
                self._settle(equation)
        return before != ([*self._set], len(self._whole))

    def _settle(self, equation: Equation) -> None:
        sets = self._sets_in(equation)
        sizes = range(len(sets) + 1) if len(sets) <= _MOST else range(len(sets), len(sets) + 1)
        best, score = tuple(sets), 0
        for stay in chain.from_iterable(combinations(sets, size) for size in sizes):
            change = [number for number in sets if number not in stay]
            members = [at for number in change for at in self._members(number)]
            shares = self._shares(members) if members else np.ones(1)
            found = (shares.size - 1) * len(change)
            if found > score and self._holds(equation, self._together(members, shares)):
                best, score = stay, found
        self._merge([number for number in sets if number not in best], equation.line)
        for number in best:
            self._stay(number, equation.line)

    def _merge(self, sets: Sequence[int], line: str) -> None:
        members = [at for number in sets for at in self._members(number)]
        for at in members:
            self._set[at] = min(sets)
            self._lines.setdefault(at, line)
        shares = self._shares(members) if members else np.ones(1)
        for at in members:
            self._rungs[at] = shares

    def _stay(self, number: int, line: str) -> None:
        for at in self._members(number):
            self._whole.add(at)
            self._lines[at] = line
            self._rungs[at] = np.ones(1)

    def _members(self, number: int) -> list[int]:
        return [at for at, own in enumerate(self._set) if own == number]

    def _sets_in(self, equation: Equation) -> list[int]:
        """The sets that an equation speaks of, those that stay whole left out."""
        involved = {position for place in equation.places() for position in self._owners(place)}
        return sorted({self._set[at] for at in involved if at not in self._whole})

    def _owners(self, place: Place) -> set[int]:
        row = self._rows[place]
        if row not in self._owned:
            _, atoms = self._atoms.expanded(np.unique(self._atoms.of(self._axes[row])))
            owners = np.unique(self._lengths.owner[atoms])
            self._owned[row] = set(owners[owners < len(self._groups)].tolist())
        return self._owned[row]

    def _shares(self, members: Sequence[int]) -> NDArray[np.float64]:
        """The shares that all of these groups may keep."""
        first, *others = sorted((self._groups[at] for at in members), key=lambda group: group.width)
        ladder = Ladder(first, self._granularity, 0.0, others)
        return np.asarray(ladder.rungs / first.width, np.float64)

    def _sampled(self, equation: Equation) -> NDArray[np.float64]:
        """Widths that are allowed: each set in the equation alone at its least share, all so, and chosen at random."""
        members = [self._members(number) for number in self._sets_in(equation)]
        shares = [self._rungs[own[0]] for own in members]
        picked = np.random.default_rng(0).uniform(size=(_SAMPLES, len(members)))
        columns = [
            rungs[(column * rungs.size).astype(np.int64)] for rungs, column in zip(shares, picked.T, strict=True)
        ]
        chosen = np.stack(columns, axis=1) if columns else np.ones((1, 0))
        least = np.array([rungs[0] for rungs in shares], np.float64)
        chosen = np.concatenate([chosen, least[None], np.where(np.eye(least.size, dtype=bool), least, 1.0)])
        rows = np.tile(self._full, (len(chosen), 1))
        for own, column in zip(members, chosen.T, strict=True):
            rows[:, own] *= column[:, None]
        return rows

    def _together(self, members: Sequence[int], shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Only ``members`` change, by ``shares``."""
        rows = np.tile(self._full, (shares.size, 1))
        rows[:, list(members)] *= shares[:, None]
        return rows

    def _holds(self, equation: Equation, widths: NDArray[np.float64]) -> bool:
        lengths = self._table.evaluated(np.rint(widths))
        known = {place: np.rint(lengths[:, self._rows[place]]).astype(np.int64) for place in equation.places()}
        return bool((value(equation.left, known) == value(equation.right, known)).all())
