"""Does an ONNX file compute what the Program computes? Judged against the Program in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from compress.errors import ExportError
from exporters._numerics import Figures, OutputFigures
from exporters._runtime import Array, Feed, Session, first_line, random_feed

if TYPE_CHECKING:
    from compress import Program

Samples = torch.Tensor | Sequence[torch.Tensor]

RANDOM_BATCHES = (1, 3)
_CHUNK = 8


def real_inputs(program: Program, samples: Samples | None) -> tuple[torch.Tensor, ...] | None:
    """Return ``samples`` as one tensor per input of the program, checked.

    Raises:
        ExportError: their number, shapes (axis 0 is the batch) or kinds do not fit the network's inputs.
    """
    if samples is None:
        return None
    given = (samples,) if isinstance(samples, torch.Tensor) else tuple(samples)
    expected = ", ".join(
        f"{spec.name} (N, {', '.join(map(str, spec.shape[1:]))}) {spec.dtype}" for spec in program.inputs
    )
    if len(given) != len(program.inputs):
        raise ExportError(f"samples hold {len(given)} tensors, the network takes {len(program.inputs)}", hint=expected)
    for tensor, spec in zip(given, program.inputs, strict=True):
        fits = (
            tuple(tensor.shape[1:]) == tuple(spec.shape[1:]) and str(tensor.dtype).removeprefix("torch.") == spec.dtype
        )
        if not fits or len(tensor) != len(given[0]) or not len(tensor):
            raise ExportError(
                f"samples for {spec.name!r} are {tuple(tensor.shape)} {tensor.dtype}", hint=f"give {expected}"
            )
    return tuple(tensor.detach().cpu() for tensor in given)


def verify(
    path: Path,
    program: Program,
    samples: tuple[torch.Tensor, ...] | None,
    where: str,
    *,
    without: Sequence[str] | None = (),
) -> Figures:
    """Run the file and the program on the same inputs and return how far apart they are.

    Inputs are random at batch 1 and 3 (at the fixed batch, where there is one) and all of ``samples``.
    ``without`` names optimisations of ONNX Runtime to leave out, None all of them.

    Raises:
        ExportError: ONNX Runtime cannot load or run the file, the network gives NaN, or cannot run in float64.
    """
    session = Session(path, where=where, threads=torch.get_num_threads(), without=without)
    reference = _Reference(program)
    outputs = [OutputFigures(port.name, exact=port.dtype.kind != "f") for port in session.outputs]
    figures = Figures(outputs, runtime=f"onnxruntime {session.version} CPU")
    fixed = next((port.shape[0] for port in session.inputs if port.shape and port.shape[0] is not None), None)
    for batch in RANDOM_BATCHES if fixed is None else (fixed,):
        _add(figures, session, reference, random_feed(session.inputs, batch))
        figures.batches.append(batch)
        figures.samples += batch
    names = [port.name for port in session.inputs]
    for chunk in _chunks(samples, fixed):
        _add(figures, session, reference, dict(zip(names, chunk, strict=True)))
        figures.samples += len(chunk[0])
        figures.real_samples += len(chunk[0])
    return figures


def require(figures: Figures, where: str, trace: Callable[[], str | None]) -> None:
    """Raise :class:`ExportError` naming the worst output where the error is beyond what is allowed.

    ``trace`` is called then, and returns which of the runtime's own optimisations is at fault, if one is.
    """
    worst = figures.worst
    if worst.passed:
        return
    fault = trace()
    cause = f"; its own {fault} is at fault: without it the file computes the same" if fault else ""
    raise ExportError(
        f"{figures.runtime} differs from the network: output {worst.name!r} is off by {worst.max_error:.3g} of its "
        f"largest magnitude, {worst.allowed:.3g} is allowed (float32 noise {worst.float32_noise:.3g}){cause}; "
        "nothing was written",
        where=where,
        hint="please report it to the runtime's authors, with the network's model reference"
        if fault
        else "this is a fault of the export, not of the network: please report it with the network's model reference",
    )


class _Reference:
    """The program in float64 (the truth) and in float32 (what rounding alone does)."""

    def __init__(self, program: Program) -> None:
        self._single = program.copy().module(training=False).cpu()
        self._double = program.astype(torch.float64).module(training=False).cpu()

    def run(self, feed: Feed) -> tuple[list[Array], list[Array]]:
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in feed.values()]
        wide = [tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors]
        try:
            with torch.no_grad():
                exact, single = _arrays(self._double(*wide)), _arrays(self._single(*tensors))
        except (RuntimeError, IndexError, ValueError) as error:
            raise ExportError(
                f"the network cannot be run for verification ({first_line(error)})",
                hint="give real samples if its inputs must lie in a certain range",
            ) from error
        if any(array.dtype.kind == "f" and np.isnan(array).any() for array in exact):
            raise ExportError("the network gives NaN, so nothing can be verified", hint="its weights may have diverged")
        return exact, single


def _add(figures: Figures, session: Session, reference: _Reference, feed: Feed) -> None:
    exact, single = reference.run(feed)
    actual = session.run(feed)
    if len(actual) != len(exact):
        raise ExportError(f"the exported file has {len(actual)} outputs, the network {len(exact)}")
    for output, got, truth, noise in zip(figures.outputs, actual, exact, single, strict=True):
        output.add(got, truth, noise)


def _arrays(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> list[Array]:
    flat = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    return [output.detach().numpy() for output in flat]


def _chunks(samples: tuple[torch.Tensor, ...] | None, fixed: int | None) -> Iterator[tuple[Array, ...]]:
    if samples is None:
        return
    size = fixed or _CHUNK
    for start in range(0, len(samples[0]), size):
        chunk = tuple(tensor[start : start + size].numpy() for tensor in samples)
        if fixed is None or len(chunk[0]) == fixed:
            yield chunk
