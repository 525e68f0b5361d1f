"""The Python class that a network was captured from, as a constraint on its pruning: what its code can express."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import fx, nn

from compress.allocation import Granularity
from compress.axes.analysis import Analysis, analyse
from compress.coupling import Coupling
from compress.eager.applying import Fit, captured, fit
from compress.eager.coupling import couple
from compress.eager.equations import Equation, Place, Uncut, equations_of, places_at
from compress.errors import EagerError, InputError
from compress.program import Program
from compress.request import Request


class ClassConstraint:
    """Couples widths as the code of a class does.

    What the code computes is known from a capture with its numbers tracked. What torch computes inside one call is not:
    there it takes a try (:meth:`fit`), and the line that was in the way (:meth:`learn`).
    """

    def __init__(self, module: nn.Module, program: Program) -> None:
        """Capture ``module`` anew, with its numbers tracked.

        Args:
            module: the dense module; it is left as it is.
            program: its capture.

        Raises:
            InputError: ``program`` is not the capture of such a module.
            CaptureError: the module cannot be captured.
        """
        self._module = module
        self._example = tuple(torch.zeros(shape, dtype=kind) for shape, kind in program.input_shapes(batch=2).values())
        self._dense, self._calls = captured(module, self._example)
        _check_same(self._dense, program, module)
        self._analysis = analyse(self._dense)
        self._equations = equations_of(self._analysis, self._calls)
        self._learned: dict[str, int] = {}
        self._known: tuple[Analysis, Granularity, int, Coupling] | None = None

    def coupling(self, analysis: Analysis, granularity: Granularity) -> Coupling:
        """The coupling of the network, or of what pruning left of it, as far as it is known."""
        known, key = self._known, (granularity, len(self._equations))
        if known is None or known[0] is not analysis or known[1:3] != key:
            known = self._known = (analysis, *key, couple(analysis, self._equations, granularity))
        return known[3]

    def fit(self, small: Program) -> Fit:
        """Find out how the class becomes ``small``. Raises :class:`EagerError` where it cannot."""
        return fit(self._module, self._dense, self._calls, small, self._example)

    def learn(self, error: EagerError) -> bool:
        """Demand more at the line that ``error`` names, of every call that stands there; say whether there is more.

        First that sizes which are one number in a call stay one number, then that all sizes there stay as they are.
        """
        line = str(error.where)
        level = self._learned.get(line, 0)
        nodes = [(mode, node) for mode, node in self._nodes() if self._calls[node.meta["call"]].line == line]
        if level > 1 or not nodes:
            return False
        self._learned[line] = level + 1
        self._equations += self._equal_sizes(nodes, line) if level == 0 else self._whole(nodes, line)
        return True

    def _nodes(self) -> Iterator[tuple[bool, fx.Node]]:
        for mode, graph in self._dense.graphs.items():
            yield from ((mode, node) for node in graph.nodes if "call" in node.meta)

    def _equal_sizes(self, nodes: list[tuple[bool, fx.Node]], line: str) -> Iterator[Equation]:
        first: dict[tuple[int, int], Place] = {}
        for mode, node in nodes:
            number = node.meta["call"]
            for place, axis in places_at(self._analysis, mode, node):
                if axis.size in self._calls[number].numbers:
                    known = first.setdefault((number, axis.size), place)
                    yield Equation(known, place, line)

    def _whole(self, nodes: list[tuple[bool, fx.Node]], line: str) -> Iterator[Equation]:
        for mode, node in nodes:
            for place, _ in places_at(self._analysis, mode, node):
                yield Equation(place, Uncut(place), line)


def constrained(
    request: Request, analysis: Analysis, module: nn.Module, try_out: Callable[[Request], Program]
) -> tuple[Request, Fit]:
    """The request with the couplings that ``module``'s class asks for, and how the class becomes what it then gives.

    Args:
        request: what is asked for.
        analysis: the network that is to be pruned.
        module: the network that it was captured from, or that it was before it was pruned first.
        try_out: prunes at once as a request says.

    Raises:
        EagerError: the class takes no such network, with all widths kept whole that are in the way.
        InputError: ``module`` is another network.
    """
    constraint = ClassConstraint(module, analysis.program)
    request = replace(request, coupler=constraint)
    while True:
        couplings = request.couplings(analysis)
        try:
            return request, constraint.fit(try_out(request))
        except EagerError as error:
            while request.couplings(analysis) == couplings:
                if not constraint.learn(error):
                    raise


def _check_same(dense: Program, program: Program, module: nn.Module) -> None:
    names, wanted = ([node.name for node in one.graphs[False].nodes] for one in (dense, program))
    if names != wanted or dense.tensors.keys() != program.tensors.keys():
        raise InputError(
            f"{type(module).__name__} is not the network that is to be pruned",
            hint="give the module that the network was captured from",
        )
