"""``compress.load``: any accepted checkpoint in, a Program out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.errors import CheckpointError, ModelError
from compress.info import Preprocessing
from compress.program import Program

Say = Callable[[str], None]
_KNOWN_SOURCES = ("torchvision:", "timm:", "models:")


@dataclass(frozen=True)
class _Capturing:
    """How to capture; the arguments of :func:`load` of the same names."""

    input_size: tuple[int, ...] | None
    submodule: str | None
    dynamic_size: bool
    time_limit: float | None
    progress: Say | None


def load(
    path: str | os.PathLike[str],
    model: str | None = None,
    *,
    trust_checkpoint: bool = False,
    input_size: tuple[int, ...] | None = None,
    submodule: str | None = None,
    dynamic_size: bool = False,
    time_limit: float | None = None,
    say: Say | None = None,
    progress: Say | None = None,
) -> Program:
    """Load a checkpoint as a :class:`~compress.Program`.

    Args:
        path: a ``.pt2``; a ``.safetensors`` that this tool wrote; or a state dict (``.pt .pth .th .bin .safetensors``).
        model: a model reference for a state dict, such as ``torchvision:resnet50`` or ``file.py:factory``. Recognised
            from parameter names and shapes where None.
        trust_checkpoint: allow a pickled module, which can run code while it is read.
        input_size: ``(channels, height, width)`` to capture with, where none is recorded or another is wanted.
        submodule: capture this part of the network alone (a detector's backbone).
        dynamic_size: leave height and width open.
        time_limit: seconds after which a capture is given up, as for :func:`compress.capture`; None for no limit.
        say: called with a line on what was recognised or assumed.
        progress: called with what is being done now, such as ``tracing the training graph``.

    Raises:
        CheckpointError: the file is missing, damaged, unsafe, or does not fit the architecture.
        ModelError: the reference is wrong.
        CaptureError: the network cannot be captured.
    """
    from compress import checkpoints

    tell = say or (lambda line: None)
    source = Path(path)
    kind = checkpoints.kind(source, trust=trust_checkpoint)
    if kind != "weights":
        options = {"--model": model, "--submodule": submodule, "--input-size": input_size}
        for option in (name for name, given in options.items() if given is not None):
            raise CheckpointError(f"holds its own network: {option} does not apply to it", where=str(source))
    if kind == "pt2":
        return _load_pt2(source)
    how = _Capturing(input_size, submodule, dynamic_size, time_limit, progress)
    if kind == "program-safetensors":
        return _load_durable(source, trust_checkpoint, how)
    return _load_weights(source, model, trust_checkpoint, how, tell)


def create(
    ref: str,
    *,
    input_size: tuple[int, ...] | None = None,
    submodule: str | None = None,
    dynamic_size: bool = False,
    time_limit: float | None = None,
    progress: Say | None = None,
) -> Program:
    """Capture a model reference with random weights as a Program (the start of a training from nothing).

    Arguments are those of :func:`load`.

    Raises:
        ModelError: the reference is wrong, or no input size is known for it.
        CaptureError: the network cannot be captured.
    """
    return _created(ref, _Capturing(input_size, submodule, dynamic_size, time_limit, progress))


def _created(ref: str, how: _Capturing) -> Program:
    import models

    reference = models.load_reference(ref)
    return _captured(reference, reference.module, how)


def _load_pt2(source: Path) -> Program:
    from compress.storing import load_pt2

    return load_pt2(source)


def _load_durable(source: Path, trust: bool, how: _Capturing) -> Program:
    from compress.storing import load_durable, read_durable_header

    header = read_durable_header(source)
    if not header.model_ref.startswith(_KNOWN_SOURCES) and not trust:
        raise CheckpointError(
            f"is made again by running {header.model_ref!r}, which the file names itself",
            where=str(source),
            hint="add --trust-checkpoint if you trust both, or use the .pt2 form",
        )
    recorded = replace(
        how, input_size=header.input_size, submodule=header.info.submodule, dynamic_size=header.dynamic_size
    )
    return load_durable(source, _created(header.model_ref, recorded))


def _load_weights(source: Path, model: str | None, trust: bool, how: _Capturing, tell: Say) -> Program:
    import models
    from compress import checkpoints

    weights = checkpoints.read(source, trust=trust)
    for note in weights.notes:
        tell(note)
    ref = model
    if ref is None and weights.module is None:
        recognition = checkpoints.recognise(weights.state, str(source))
        tell(recognition.message)
        ref = recognition.ref
    if ref is None:
        assert weights.module is not None
        if how.input_size is None:
            raise ModelError(
                "a pickled module records no input size", where=str(source), hint="give --input-size, such as 3,224,224"
            )
        program = _capture_part(weights.module, _example(how.input_size), how)
    else:
        reference = models.load_reference(ref)
        checkpoints.load_into(reference.module, weights.state, str(source))
        program = _captured(reference, reference.module, how)
    program.info.record("load", arguments={"file": source.name, "model": ref}, input_sha256=weights.sha256)
    return program


def _captured(reference: Any, module: nn.Module, how: _Capturing) -> Program:
    input_size, submodule = how.input_size, how.submodule
    if reference.example_inputs is not None and input_size is None:
        example = tuple(reference.example_inputs)
    else:
        size = reference.default_input if input_size is None else input_size
        if size is None:
            raise ModelError(
                "no input size is recorded for it", where=reference.ref, hint="give --input-size, such as 3,224,224"
            )
        example = _example(size)
    program = _capture_part(module, example, how)
    program.info.model_ref = reference.ref
    program.info.submodule = submodule
    program.info.input_size = list(input_size) if input_size is not None else None
    first = program.inputs[0].shape
    if (
        reference.preprocessing is not None
        and submodule is None
        and len(first) == 4
        and len(reference.preprocessing["mean"]) == first[1]
    ):
        program.info.preprocessing = Preprocessing(
            mean=list(reference.preprocessing["mean"]),
            std=list(reference.preprocessing["std"]),
            size=[first[2], first[3]],
            channels=first[1],
        )
    return program


def _example(size: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    if not size or any(edge < 1 for edge in size):
        raise ModelError(f"input size {size} is not a list of positive sizes", hint="write it as 3,224,224")
    return (torch.randn((2, *size), generator=torch.Generator().manual_seed(0)),)


def _capture_part(module: nn.Module, example: tuple[torch.Tensor, ...], how: _Capturing) -> Program:
    from compress.capturing import capture

    def captured(part: nn.Module, inputs: tuple[Any, ...]) -> Program:
        limits: dict[str, Any] = {"time_limit": how.time_limit, "progress": how.progress}
        return capture(part, inputs, dynamic_size=how.dynamic_size, **limits)

    if how.submodule is None:
        return captured(module, example)
    parts = dict(module.named_modules())
    if how.submodule not in parts or not how.submodule:
        names = ", ".join(name for name, _ in module.named_children())
        raise ModelError(f"there is no submodule {how.submodule!r}", hint=f"the network's parts are {names}")
    return captured(parts[how.submodule], _inputs_of(module, parts[how.submodule], example, how))


class _ReachedError(Exception):
    """Stops the run once the submodule's inputs are known."""


def _inputs_of(
    module: nn.Module, part: nn.Module, example: tuple[torch.Tensor, ...], how: _Capturing
) -> tuple[Any, ...]:
    """Run the whole network on the example until ``part`` is called, and return what it was called with."""
    from compress.capturing import Stage

    stage = Stage(how.progress)
    stage.enter(f"running the network up to {how.submodule}", module)
    seen = stage.limited(lambda: _calls_of(module, part, example), module, how.time_limit)
    if not seen:
        raise ModelError(f"submodule {how.submodule!r} is not called when the network runs")
    return tuple(value.detach() if isinstance(value, torch.Tensor) else value for value in seen[0])


def _calls_of(module: nn.Module, part: nn.Module, example: tuple[torch.Tensor, ...]) -> list[tuple[Any, ...]]:
    """The arguments of the first call of ``part``, as the only item; nothing where it is not called."""
    seen: list[tuple[Any, ...]] = []

    def catch(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(args)
        raise _ReachedError

    handle = part.register_forward_pre_hook(catch)
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(*example)
    except _ReachedError:
        pass
    finally:
        handle.remove()
        module.train(training)
    return seen
