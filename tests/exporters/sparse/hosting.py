"""The operators in a process of their own without ONNX Runtime: for other machines, and with every access checked."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporters._runtime import Array
from exporters.sparse import compiler
from tests.exporters.sparse.building import Case

HOST = Path(__file__).with_name("host.cpp")


def build(path: Path, command: Sequence[str], platform: str, flags: Sequence[str]) -> Path:
    """Link the host and the operators, with the kernels of all instruction sets of ``platform``, into one program."""
    base = [*command, "-std=c++17", "-I", str(compiler.SOURCES), *flags]
    objects = []
    for name, (width, allowed) in compiler.KERNELS[platform].items():
        objects.append(str(path.with_name(f"kernels.{name}.o")))
        defined = [f"-DISA={name}", f"-DWIDTH={width}", *allowed]
        _run([*base, *defined, "-c", str(compiler.SOURCES / "kernels.cpp"), "-o", objects[-1]])
    others = [str(source) for source in sorted(compiler.SOURCES.glob("*.cpp")) if source.name != "kernels.cpp"]
    _run([*base, str(HOST), *others, *objects, "-pthread", "-o", str(path)])
    return path


def run(
    command: Sequence[str], cases: Sequence[tuple[Case, Mapping[str, Any]]], folder: Path, isa: str = ""
) -> list[Array | str]:
    """Return for each case, with its attributes changed (None: left out), the output or the error's text."""
    written, answered = folder / "cases", folder / "answers"
    written.write_bytes(struct.pack("<i", len(cases)) + b"".join(_case(case, changes) for case, changes in cases))
    environment = os.environ | ({"COMPRESS_SPARSE_ISA": isa} if isa else {})
    done = subprocess.run([*command, str(written), str(answered)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return _answers(answered.read_bytes(), len(cases))


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


def _case(case: Case, changes: Mapping[str, Any]) -> bytes:
    attributes = {name: value for name, value in {**case.attributes(), **changes}.items() if value is not None}
    integers = {name: value for name, value in attributes.items() if isinstance(value, int)}
    reals = {name: value for name, value in attributes.items() if isinstance(value, float)}
    constants, feed = case.constants(), case.feed()
    inputs = [feed["X"], constants["values"], constants["mask"], constants.get("bias"), feed.get("R")]
    parts = [struct.pack("<i", 0 if case.is_convolution else 1)]
    for kind, found in (("q", integers), ("f", reals)):
        parts.append(struct.pack("<i", len(found)))
        parts += [
            struct.pack("<i", len(name)) + name.encode() + struct.pack(f"<{kind}", value)
            for name, value in found.items()
        ]
    return b"".join([*parts, *map(_tensor, inputs)])


def _tensor(array: Array | None) -> bytes:
    if array is None:
        return struct.pack("<i", -1)
    return struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape) + np.ascontiguousarray(array).tobytes()


def _answers(data: bytes, count: int) -> list[Array | str]:
    answers: list[Array | str] = []
    at = 0
    for _ in range(count):
        (rank,) = struct.unpack_from("<i", data, at)
        at += 4
        if rank < 0:
            (length,) = struct.unpack_from("<i", data, at)
            answers.append(data[at + 4 : at + 4 + length].decode())
            at += 4 + length
            continue
        shape = struct.unpack_from(f"<{rank}q", data, at)
        at += 8 * rank
        size = int(np.prod(shape))
        answers.append(np.frombuffer(data, np.float32, size, at).reshape(shape))
        at += 4 * size
    assert at == len(data)
    return answers
