"""Whether a data set fits a network, found out before work starts."""

from __future__ import annotations

import torch

from compress.data.source import DataSource
from compress.errors import DataError
from compress.program import Program


def check_fit(program: Program, data: DataSource, *, classes: bool = True) -> None:
    """Compare the data's samples and classes with what ``program`` takes and gives.

    Args:
        classes: whether the main output must have one value per class, as cross entropy wants it.

    Raises:
        DataError: number or shape of the inputs, or the number of classes, do not fit.
    """
    samples = data.samples(2)
    if len(samples) != len(program.inputs):
        raise DataError(
            f"gives {len(samples)} inputs, the network takes {len(program.inputs)} "
            f"({', '.join(spec.name for spec in program.inputs)})",
            where=data.ref,
        )
    for value, spec in zip(samples, program.inputs, strict=True):
        if tuple(value.shape[1:]) != tuple(spec.shape[1:]):
            _try(program, samples, data.ref, tuple(value.shape[1:]), tuple(spec.shape[1:]))
    outputs = program.outputs[0].shape
    if not classes or data.classes is None or len(outputs) < 2:
        return
    if outputs[1] != len(data.classes):
        raise DataError(
            f"has {len(data.classes)} classes, the network has {outputs[1]} outputs",
            where=data.ref,
            hint="use the data the network was made for, or a network with as many outputs",
        )


def _try(
    program: Program, samples: tuple[torch.Tensor, ...], ref: str, given: tuple[int, ...], taken: tuple[int, ...]
) -> None:
    """Another image size is fine for a network captured with an open one, which only running it shows."""
    try:
        with torch.no_grad():
            program.copy().module(training=False)(*samples)
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        raise DataError(
            f"gives inputs of {'x'.join(map(str, given))}, the network takes {'x'.join(map(str, taken))}",
            where=ref,
            hint="set the preprocessing's size and channels to the network's",
        ) from error
