"""ONNX files of any choice of widths, without exporting each: learnt from the dense file and some that were cut.

Every size in a file (of a weight, in a reshape, a number of groups) is a fixed multiple of one of the lengths that the
axis engine knows, or does not change at all. Which, is read off files that were really exported: the cut ones keep
widths that tell all groups apart, and another exported file proves it. What cannot be explained so is not guessed: such
networks are exported anew for each choice.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

    from compress.axes.analysis import Analysis
    from compress.lengths import Lengths

Whole = NDArray[np.int64]
Place = tuple[str | int, ...]
_MOST_CUTS = 4
_LONGEST = 64  # of whole numbers in a file that may spell sizes out; longer ones are data


class UnexplainedError(Exception):
    """A size in the exported files that no length explains, in words."""


@dataclass(frozen=True)
class _Slot:
    """One number in a file that depends on the widths: ``factor`` times the length in a row of the table."""

    place: Place
    row: int
    factor: float


class Template:
    """The dense file, and every number in it that depends on the widths."""

    def __init__(self, dense: onnx.ModelProto, slots: Sequence[_Slot], lengths: Lengths) -> None:
        self._dense = dense
        self._slots = slots
        self._table = lengths.packed()

    @classmethod
    def learn(cls, analysis: Analysis, widths: Whole, files: Sequence[Path]) -> Template:
        """Read the sizes off exported files.

        Args:
            widths: atoms kept of each group, of shape (files, groups), everything in the first row.
            files: exported with these widths.

        Raises:
            UnexplainedError: a size that no length explains, or files that differ in more than sizes.
        """
        import onnx

        models = [onnx.load(str(file)) for file in files]
        lengths = _all_lengths(analysis)
        known = lengths.packed().evaluated(widths.astype(np.float64))
        read = [dict(_sizes(model)) for model in models]
        if any(one.keys() != read[0].keys() for one in read) or len({_wiring(model) for model in models}) > 1:
            raise UnexplainedError("the exported graphs differ in more than sizes")
        slots = []
        for place, first in read[0].items():
            values = np.array([one[place] for one in read], np.float64)
            if (values != first).any():
                slots.append(_explained(place, values, known))
        return cls(models[0], slots, lengths)

    def check(self, widths: Whole, file: Path) -> None:
        """Compare what would be made with what was exported.

        Args:
            widths: atoms kept of each group, of shape (groups,); ``file``: exported with them.

        Raises:
            UnexplainedError: they differ.
        """
        import onnx

        expected, found = dict(_sizes(onnx.load(str(file)))), dict(_sizes(self.made(widths)))
        for place, size in expected.items():
            if place[-1] != "content" and found.get(place) != size:
                named = ".".join(map(str, place))
                raise UnexplainedError(f"{named} would be {found.get(place)}, and was exported as {size}")

    def made(self, widths: Whole) -> onnx.ModelProto:
        """Return the file with ``widths``, of shape (groups,), kept: the first of each weight."""
        import onnx

        lengths = self._table.evaluated(widths[None].astype(np.float64))[0]
        sizes = {slot.place: round(slot.factor * lengths[slot.row]) for slot in self._slots}
        model = onnx.ModelProto()
        model.CopyFrom(self._dense)
        del model.graph.value_info[:]
        for tensor in model.graph.initializer:
            _resize(tensor, ("initializer", tensor.name), sizes)
        for at, node in enumerate(model.graph.node):
            for attribute in node.attribute:
                _respell(attribute, ("node", at, attribute.name), sizes)
        return model


def telling_widths(full: Whole, smallest: Whole) -> Whole:
    """Return widths of shape (1 + cuts, groups): all, and choices, at least two, in which no two groups that look alike
    are cut alike. Of groups with too few widths for that some remain alike.

    Args:
        full: atoms of each group; ``smallest``: kept at least, of which any number from there on may be kept.
    """
    rooms = full - smallest
    cuts = max(
        (_cuts(int((full == most).sum()), int(rooms[full == most].min())) for most in set(full.tolist())), default=2
    )
    found = np.tile(full, (1 + cuts, 1))
    counts: dict[int, int] = {}
    for at, (most, room) in enumerate(zip(full.tolist(), rooms.tolist(), strict=True)):
        number = counts.get(most, 0)
        counts[most] = number + 1
        for cut in range(cuts if room > 0 else 0):
            # Digits of the number, each but the first moved by it and by the cut: the choices differ, too.
            digit = number // room**cut + (number if cut else 0) + cut
            found[1 + cut, at] = most - 1 - digit % room
    return found


def _cuts(alike: int, room: int) -> int:
    """How many choices tell so many groups of equal size apart, each with ``room`` widths to choose from."""
    cuts = 2
    while room > 1 and room**cuts < alike and cuts < _MOST_CUTS:
        cuts += 1
    return cuts


def _all_lengths(analysis: Analysis) -> Lengths:
    """A table of the lengths of all axes there are."""
    from compress.lengths import Lengths

    lengths = Lengths(analysis.atoms, analysis.prunable)
    for value in [*analysis.traces[False].values.values(), *analysis.stored.values()]:
        for axis in _axes(value):
            if axis.any():
                lengths.row(axis)
    for position in range(len(analysis.prunable)):
        lengths.row_of_group(position)
    return lengths


def _axes(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _axes(item)


def _explained(place: Place, values: NDArray[np.float64], known: NDArray[np.float64]) -> _Slot:
    fits = np.isclose(values[:, None] * known[0], values[0] * known, rtol=1e-9).all(axis=0)
    moves = (known != known[0]).any(axis=0)
    rows = np.flatnonzero(fits & moves)
    if not rows.size:
        raise UnexplainedError(f"no width explains {'.'.join(map(str, place))}, which is {values.tolist()}")
    factors = values[0] / known[0, rows]
    best = int(np.argmin(np.abs(np.log(factors))))
    return _Slot(place, int(rows[best]), float(factors[best]))


def _wiring(model: onnx.ModelProto) -> tuple[Any, ...]:
    return tuple((node.op_type, tuple(node.input), tuple(node.output)) for node in model.graph.node)


def _sizes(model: onnx.ModelProto) -> Iterator[tuple[Place, int]]:
    """Every number in the file that may be a size, by its place."""
    for tensor in model.graph.initializer:
        yield from _tensor_sizes(tensor, ("initializer", tensor.name))
    for at, node in enumerate(model.graph.node):
        for attribute in node.attribute:
            place = ("node", at, attribute.name)
            if attribute.type == attribute.INT:
                yield (*place, "i"), attribute.i
            elif attribute.type == attribute.INTS:
                for index, value in enumerate(attribute.ints):
                    yield (*place, "ints", index), value
            elif attribute.type == attribute.TENSOR:
                yield from _tensor_sizes(attribute.t, place)


def _tensor_sizes(tensor: onnx.TensorProto, place: Place) -> Iterator[tuple[Place, int]]:
    from onnx import numpy_helper

    for dimension, size in enumerate(tensor.dims):
        yield (*place, "dim", dimension), size
    if _spells(tensor):
        for index, value in enumerate(numpy_helper.to_array(tensor).reshape(-1).tolist()):
            yield (*place, "value", index), value
    elif tensor.data_type in (tensor.INT64, tensor.INT32):
        yield (*place, "content"), zlib.crc32(numpy_helper.to_array(tensor).tobytes())


def _spells(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type in (tensor.INT64, tensor.INT32) and int(np.prod(tensor.dims, initial=1)) <= _LONGEST


def _resize(tensor: onnx.TensorProto, place: Place, sizes: dict[Place, int]) -> None:
    from onnx import numpy_helper

    dims = [sizes.get((*place, "dim", at), size) for at, size in enumerate(tensor.dims)]
    values = {at: sizes[*place, "value", at] for at in range(_LONGEST) if (*place, "value", at) in sizes}
    if dims == list(tensor.dims) and not values:
        return
    array = numpy_helper.to_array(tensor)[tuple(slice(0, size) for size in dims)].copy()
    for at, value in values.items():
        array.reshape(-1)[at] = value
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def _respell(attribute: onnx.AttributeProto, place: Place, sizes: dict[Place, int]) -> None:
    if attribute.type == attribute.INT and (*place, "i") in sizes:
        attribute.i = sizes[*place, "i"]
    elif attribute.type == attribute.INTS:
        for index in range(len(attribute.ints)):
            attribute.ints[index] = sizes.get((*place, "ints", index), attribute.ints[index])
    elif attribute.type == attribute.TENSOR:
        _resize(attribute.t, place, sizes)
