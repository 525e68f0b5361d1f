"""Which attributes are widths: what the pruned graph's literals ask of the numbers that the module's code was given."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import fx, nn

from compress.eager.recording import Call
from compress.eager.widths import (
    Attribute,
    Computed,
    Origin,
    Size,
    Values,
    Width,
    elements,
    evaluate,
    is_number,
    is_numbers,
)
from compress.errors import EagerError
from compress.program import Program
from compress.shapes import shapes_of


@dataclass(frozen=True)
class Demand:
    """One literal of the graph: what it was, what the pruned graph has, and the line of the code that gave it."""

    before: int
    after: int
    line: str


@dataclass
class Demands:
    """What the graph asks of attributes (``sure``: passed on as they are), and of numbers computed from them."""

    sure: dict[Attribute, list[Demand]] = field(default_factory=dict)
    likely: dict[Attribute, list[Demand]] = field(default_factory=dict)
    computed: list[tuple[Computed, Demand]] = field(default_factory=list)

    def add(self, origin: Origin, demand: Demand, *, sure: bool) -> None:
        """Record that a number of this origin must become ``demand.after``."""
        if isinstance(origin, Computed):
            self.computed.append((origin, demand))
        elif isinstance(origin, Attribute):
            (self.sure if sure else self.likely).setdefault(origin, []).append(demand)


@dataclass(frozen=True)
class Wanted:
    """What a call of the module's code must hand over now: ``position`` is its number, then its whole numbers in the
    dense and in the pruned graph. ``cuts`` says that it cuts a width into equal pieces, now of sizes ``after``.
    """

    position: int
    call: Call
    before: tuple[int, ...]
    after: tuple[int, ...]
    cuts: bool

    def met(self, numbers: Values) -> bool:
        """Whether everything that it must hand over comes from attributes that say so now."""
        if self.cuts or not aligned(self.before, self.call.numbers):
            return False
        triples = zip(self.call.numbers, self.before, self.after, strict=False)
        changed = [(given, now) for given, was, now in triples if was != now]
        return all(isinstance(given, Width) and _value(given.origin, numbers) == now for given, now in changed)

    def unmet(self, numbers: Values) -> bool:
        """Whether the call cannot hand it over, whatever else happens."""
        if self.cuts:
            return len(set(self.after)) > 1
        if not aligned(self.before, self.call.numbers):
            return False
        pairs = zip(self.call.numbers, self.after, strict=False)
        return any(isinstance(given, Width) and _value(given.origin, numbers) != now for given, now in pairs)

    def __str__(self) -> str:
        if self.cuts:
            return f"{self.call.function} must give pieces of {', '.join(map(str, self.after))}{self._sources()}"
        changed = [(was, now) for was, now in zip(self.before, self.after, strict=False) if was != now]
        pairs = ", ".join(f"{now} instead of {was}" for was, now in dict.fromkeys(changed))
        return f"{self.call.function} must get {pairs}{self._sources({was for was, _ in changed})}"

    def _sources(self, values: set[int] | None = None) -> str:
        """Where the numbers came from that have these values."""
        tracked = [number for number in self.call.numbers if isinstance(number, Width)]
        named = dict.fromkeys(str(number.origin) for number in tracked if values is None or number in values)
        return f" (it gets {' and '.join(named)})" if named else ""


@dataclass(frozen=True)
class Solution:
    """The new numbers of attributes that are widths, and the calls that must hand over other numbers than before."""

    numbers: dict[Attribute, int]
    wanted: tuple[Wanted, ...]
    present: dict[Attribute | Size, int]

    def blame(self, position: int, line: str) -> Wanted | None:
        """What most likely makes call ``position`` fail: the last one up to it that cannot be met, else itself."""
        numbers = dict(self.present)
        numbers.update(self.numbers.items())
        earlier = [item for item in self.wanted if item.position <= position]
        unmet = [item for item in earlier if item.unmet(numbers)]
        later = [item for item in self.wanted if item.position >= position and item.call.line == line]
        here = [item for item in later if not item.met(numbers)]
        return next(iter(unmet[-1:] or here), None)


def solve(module: nn.Module, dense: Program, small: Program, calls: Sequence[Call]) -> Solution:
    """Return the new number of every attribute that the pruned graph shows to be a width.

    Args:
        module: the dense module, its numbers plain.
        dense: its capture, made while ``calls`` were recorded and its numbers tracked.
        small: the pruned Program.
        calls: by number, what the nodes of ``dense`` were made by.

    Raises:
        EagerError: one attribute is used for two sizes that differ now.
    """
    demands = Demands()
    wanted: list[Wanted] = []
    present = _present(module)
    for mode in (False, True):
        kept = {node.name: node for node in small.graphs[mode].nodes}
        for before in dense.graphs[mode].nodes:
            if before.op == "call_function":
                wanted += _compare(before, kept[before.name], calls, present, demands)
    chosen = {attribute: _agreed(attribute, found) for attribute, found in demands.sure.items()}
    for attribute, found in demands.likely.items():
        if attribute not in chosen:
            chosen[attribute] = _agreed(attribute, found)
    known = sizes_after(dense, small)
    known.update(present.items())
    _solve_computed(demands.computed, chosen, known)
    numbers = {attribute: number for attribute, number in chosen.items() if number != present[attribute]}
    return Solution(numbers, tuple(wanted), known)


def sizes_after(dense: Program, small: Program) -> dict[Attribute | Size, int]:
    """Every size that may have been read in the capture of ``dense`` and is another one now."""
    found: dict[Attribute | Size, int] = {}
    for mode, graph in dense.graphs.items():
        marked = {node.name: node for node in graph.nodes if "mark" in node.meta}
        before, after = (
            shapes_of(program.graphs[mode], program.tensors, program.input_shapes(batch=2))
            for program in (dense, small)
        )
        for node in small.graphs[mode].nodes:
            if node.name in marked:
                old = marked[node.name]
                pairs = enumerate(zip(before[old], after[node], strict=True))
                found |= {Size(old.meta["mark"], dim, was): now for dim, (was, now) in pairs if was != now}
    return found


def _present(module: nn.Module) -> dict[Attribute, int]:
    return {
        place: int(number)
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if is_number(value) or is_numbers(value)
        for place, number in elements(value, Attribute(path, name))
    }


def _compare(
    before: fx.Node, after: fx.Node, calls: Sequence[Call], present: Mapping[Attribute, int], demands: Demands
) -> Iterator[Wanted]:
    old, new = tuple(numbers_of(before)), _equal_pieces(before, after) or tuple(numbers_of(after))
    call = calls[before.meta["call"]] if "call" in before.meta else None
    if call is not None and old != new:
        cuts = before.target is not after.target  # a cut into equal pieces was rewritten with the sizes of all
        if cuts or len(old) == len(new):
            yield Wanted(before.meta["call"], call, old, _pieces(after) if cuts else new, cuts)
    if len(old) != len(new):
        return  # an operator that was rewritten in another form: the capture of the edited module decides
    given = call.numbers if call is not None else ()
    line = call.line if call is not None else str(before.meta.get("source", before.name))
    passed_on = aligned(old, given)
    for position, (was, now) in enumerate(zip(old, new, strict=True)):
        demand = Demand(was, now, line)
        if passed_on:
            number = given[position]
            if isinstance(number, Width):
                demands.add(number.origin, demand, sure=True)
        elif was != now:
            for origin in _like(was, given) or _in_layers(was, before, present):
                demands.add(origin, demand, sure=False)
    if call is not None:
        for number, share in _scaled(call, before, after):
            demands.add(number.origin, Demand(number, int(number * share), line), sure=False)


def _equal_pieces(before: fx.Node, after: fx.Node) -> tuple[int, ...] | None:
    """The literals of a cut into equal pieces, where those of the pruned graph, all spelled out, still are equal."""
    if before.target is after.target or len(before.args) < 2 or not isinstance(before.args[1], int):
        return None
    sizes: Any = after.args[1]
    first, last = sizes[0], sizes[-1]
    if any(size != first for size in sizes[:-1]) or not isinstance(last, int) or last > first:
        return None
    literals = list(numbers_of(before))
    if before.target is torch.ops.aten.split.Tensor:
        literals[0] = first
    elif first != -(-sum(sizes) // literals[0]):
        return None  # a chunk into that many pieces makes others
    return tuple(literals)


def _pieces(node: fx.Node) -> tuple[int, ...]:
    sizes: Any = node.args[1]
    return tuple(sizes)


def numbers_of(node: fx.Node) -> Iterator[int]:
    """The whole numbers among a node's arguments, in order."""
    return (leaf for leaf in leaves((node.args, tuple(node.kwargs.values()))) if type(leaf) is int)


def leaves(value: Any) -> Iterator[Any]:
    """Everything in nested tuples and lists, in order."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def aligned(literals: Sequence[int], given: Sequence[int]) -> bool:
    """Whether the node's literals are the call's numbers (the graph leaves trailing defaults out)."""
    return len(literals) <= len(given) and all(left == int(right) for left, right in zip(literals, given, strict=False))


def _like(value: int, given: Iterable[int]) -> set[Origin]:
    alike = {number.origin for number in given if isinstance(number, Width) and number == value}
    return {
        origin
        for origin in alike
        if isinstance(origin, Attribute) or (isinstance(origin, Computed) and any(origin.attributes()))
    }


def _in_layers(value: int, node: fx.Node, present: Mapping[Attribute, int]) -> set[Origin]:
    """Where no call is known: what has that value in the layer that uses the result, if it is just one attribute."""
    layers = {str(user.meta.get("layer", "")) for user in (node, *node.users)}
    found: set[Origin] = {place for place, number in present.items() if place.module in layers and number == value}
    return found if len(found) == 1 else set()


def _scaled(call: Call, before: fx.Node, after: fx.Node) -> Iterator[tuple[Width, Fraction]]:
    """Numbers that were multiplied with the batch size, where the product shrank."""
    for old, new in zip(leaves(before.args), leaves(after.args), strict=False):
        if isinstance(old, fx.Node) and isinstance(new, fx.Node) and old.name != new.name:
            share = _share(new, old.name)
            for number in call.with_batch:
                if share is not None and (number * share).denominator == 1:
                    yield number, share


def _share(node: fx.Node, name: str) -> Fraction | None:
    """What the size ``node`` is, as a share of the size called ``name`` that it was computed from."""
    if node.name == name:
        return Fraction(1)
    if node.target not in (operator.mul, operator.floordiv) or not isinstance(node.args[0], fx.Node):
        return None
    inner, factor = _share(node.args[0], name), node.args[1]
    if inner is None or not isinstance(factor, int):
        return None
    return inner * factor if node.target is operator.mul else inner / factor


def _agreed(attribute: Attribute, demands: Sequence[Demand]) -> int:
    first = demands[0]
    for other in demands:
        if other.after != first.after:
            raise EagerError(
                f"{attribute} = {first.before} stands for two sizes that differ after the cut:"
                f" {first.after} at {first.line} and {other.after} at {other.line}",
                where=other.line,
                hint="protect the layers of one of them (ignore), or give the two sizes attributes of their own",
            )
    return first.after


def _solve_computed(computed: Iterable[tuple[Computed, Demand]], chosen: dict[Attribute, int], present: Values) -> None:
    """Settle attributes that reach the graph through arithmetic alone, where a number in range does it."""
    ranges: dict[Attribute, set[int]] = {}
    for origin, demand in computed:
        now = dict(present)
        now.update(chosen.items())
        open_ones = {place for place in origin.attributes() if place not in chosen}
        if len(open_ones) != 1 or _value(origin, now) == demand.after:
            continue
        (place,) = open_ones
        fitting = {n for n in range(1, present[place] + 1) if _value(origin, {**now, place: n}) == demand.after}
        ranges[place] = ranges.get(place, fitting) & fitting
    for place, fitting in ranges.items():
        if fitting:
            chosen[place] = max(fitting)


def _value(origin: Origin, values: Values) -> int | None:
    try:
        return evaluate(origin, values)
    except ZeroDivisionError:
        return None
