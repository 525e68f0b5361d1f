"""What works on this machine."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from compress.errors import UnavailableError

if TYPE_CHECKING:
    from deploy.runner.protocol import Answer

REQUIRED = ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime", "accelerate", "safetensors", "plotly")
STORED_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Finding:
    """One part of the machine or installation; ``remedy`` says what to do where something is missing."""

    part: str
    state: Literal["ok", "missing", "note"]
    detail: str
    remedy: str | None = None


def examine(say: Callable[[str], None] | None = None) -> list[Finding]:
    """Look at interpreter, packages, runtimes, TensorRT, GPU and disk; ``say`` is told of what may take minutes."""
    from models import torchvision_shim

    torchvision_shim.ensure()
    return [_python(), *map(_package, REQUIRED), *_runtimes(), _sparse(say), _tensorrt(), _gpu(), _disk()]


def examine_devices(names: Sequence[str], file: Path | None = None) -> list[Finding]:
    """Ask devices what they are and which runtimes they have, at the same time. One that cannot be reached is missing.

    Raises:
        InputError: a name is not known, or ``file``, the devices.yaml, is wrong.
    """
    from deploy.devices import inventory
    from deploy.devices.fleet import ask_all

    targets = inventory.targets(names, file)
    answers = ask_all(targets, lambda target: target.device.describe())
    return [
        found
        for target, answer in zip(targets, answers, strict=True)
        for found in (
            [Finding(target.name, "missing", answer.what, answer.hint)]
            if isinstance(answer, UnavailableError)
            else _device(target.name, answer)
        )
    ]


def _device(name: str, answer: Answer) -> list[Finding]:
    machine = answer.machine
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    about = f"Python {machine['python']}, {machine['system']}, {machine['processor']}, {machine['usable_cores']} cores"
    return [
        Finding(f"{name}: machine", "ok", about),
        Finding(f"{name}: packages", "ok", versions),
        *(
            Finding(f"{name}: runtime {runtime}", "ok" if reason is None else "note", reason or "can be measured")
            for runtime, reason in answer.runtimes.items()
        ),
    ]


def _python() -> Finding:
    import deploy

    machine = deploy.Environment.model_validate(deploy.environment.capture())
    return Finding(
        "machine",
        "ok",
        f"Python {platform.python_version()}, {machine.system}, {machine.processor}, {machine.usable_cores} cores",
    )


def _package(name: str) -> Finding:
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything, and that is the finding
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        return Finding(name, "missing", reason, f"pip install --force-reinstall {name}")
    return Finding(name, "ok", metadata.version(name))


def _runtimes() -> list[Finding]:
    import deploy

    return [
        Finding(f"runtime {name}", "ok" if reason is None else "note", reason or "can be measured")
        for name, reason in deploy.runtimes.names().items()
    ]


def _sparse(say: Callable[[str], None] | None) -> Finding:
    from exporters.sparse import library

    try:
        found = library.find(None, say)
    except UnavailableError as error:
        return Finding("sparse operators", "missing", error.what, error.hint)
    return Finding("sparse operators", "ok", f"{found.name} ({found.stat().st_size / 1e3:.0f} kB)")


def _tensorrt() -> Finding:
    from exporters import _tensorrt

    try:
        found = _tensorrt.find()
    except UnavailableError as error:
        return Finding("TensorRT", "missing", error.what, error.hint)
    how = "compiles without a GPU" if found.ahead else "compiles for the GPU of this machine"
    return Finding("TensorRT", "ok", f"{found.name} {found.version}: {how}")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", "ok", torch.cuda.get_device_name(0))
    return Finding("GPU", "note", "none: training runs on the CPU, engines are compiled but not executed")


def _disk() -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK) or free < STORED_BYTES:
        return Finding("temporary folder", "missing", f"{free / 1e9:.1f} GB free", "free some space, or set TMPDIR")
    return Finding("temporary folder", "ok", f"{free / 1e9:.1f} GB free")
