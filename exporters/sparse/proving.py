"""Does the sparse file compute what the dense one does?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.errors import ExportError
from exporters._numerics import Figures, OutputFigures, relative_error
from exporters._runtime import SEED, Array, Feed, Port, Session, random_array
from exporters.sparse.sizes import shapes_at

if TYPE_CHECKING:
    import onnx

    from exporters.sparse.deciding import Conditions

BATCHES = (1, 3)


def prove(dense: onnx.ModelProto, sparse: bytes, where: str, conditions: Conditions) -> dict[str, Any]:
    """Run both on random inputs at batch 1 and 3, and return how far they are apart.

    The reference is the dense file without ONNX Runtime's optimisations. What these alone move its outputs by, or
    inputs moved by their last bit, whichever is more, is taken for the rounding noise of float32, of which a small
    multiple is allowed.

    Raises:
        ExportError: they are further apart than that, one cannot be run, or an output has no finite value.
    """
    data = dense.SerializeToString()
    plain = Session(data, where=where, without=None)
    optimised = Session(data, where=where)
    other = Session(sparse, where=where, library=conditions.library)
    figures = Figures([OutputFigures(port.name, exact=port.dtype.kind != "f") for port in plain.outputs], "")
    for batch in BATCHES if any(_is_dynamic(port) for port in plain.inputs) else (1,):
        feed = make_feed(dense, plain, batch, conditions.sizes)
        figures.batches.append(batch)
        figures.samples += batch
        results = [session.run(feed) for session in (plain, optimised, other)]
        for output, reference, rounded, actual, moved in zip(
            figures.outputs, *results, plain.run(_last_bit_moved(feed)), strict=True
        ):
            _require_finite(reference, output.name, where)
            output.add(actual, reference, rounded)
            output.float32_noise = max(output.float32_noise, relative_error(moved, reference))
    worst = figures.worst
    if not worst.passed:
        raise ExportError(
            f"with sparse operators it differs: output {worst.name!r} is off by {worst.max_error:.3g} of its largest "
            f"magnitude, {worst.allowed:.3g} is allowed (float32 noise {worst.float32_noise:.3g}); nothing was written",
            where=where,
            hint="this is a fault of the sparse operators: please report it with the network",
        )
    runtime = f"onnxruntime {plain.version} CPU"
    return figures.to_dict() | {"reference": "the dense ONNX file without optimisations", "runtime": runtime}


def _last_bit_moved(feed: Feed) -> Feed:
    """Every float up or down by one part in 2^23, at random."""
    generator = np.random.default_rng(SEED)
    return {
        name: values * (1 + generator.choice((-1, 1), values.shape) * 2.0**-23).astype(values.dtype)
        if values.dtype.kind == "f"
        else values
        for name, values in feed.items()
    }


def _require_finite(reference: Array, name: str, where: str) -> None:
    if reference.dtype.kind == "f" and reference.size and not np.isfinite(reference).any():
        raise ExportError(
            f"output {name!r} has no finite value on random inputs, so that nothing can be proven of it",
            where=where,
            hint="look for NaN and infinity among the weights",
        )


def make_feed(proto: onnx.ModelProto, session: Session, batch: int, sizes: Mapping[str, int]) -> Feed:
    """Return random inputs at a batch size. Raises :class:`ExportError` where another dynamic axis has no size."""
    shapes = shapes_at(proto, batch, sizes)
    generator = np.random.default_rng(SEED + batch)
    feed: Feed = {}
    for port in session.inputs:
        shape = [size for size in shapes.get(port.name, ()) if size is not None]
        if len(shape) != len(port.shape):
            raise _no_size(proto, port, sizes)
        feed[port.name] = random_array(generator, port.dtype, tuple(shape))
    return feed


def _no_size(proto: onnx.ModelProto, port: Port, sizes: Mapping[str, int]) -> ExportError:
    axes = next(value for value in proto.graph.input if value.name == port.name).type.tensor_type.shape.dim
    unknown = [axis for axis, size in enumerate(axes) if axis and not size.HasField("dim_value")]
    names = [axes[axis].dim_param for axis in unknown if axes[axis].dim_param not in sizes]
    if not all(names):
        what, hint = "no name", "fix it with onnxruntime.tools.make_dynamic_shape_fixed"
    else:
        what, hint = f"no size: {', '.join(names)}", f"give it with --size {names[0]}=224 (from Python: sizes)"
    return ExportError(f"input {port.name!r} has a dynamic axis beside the batch, with {what}", hint=hint)


def _is_dynamic(port: Port) -> bool:
    return bool(port.shape) and port.shape[0] is None
