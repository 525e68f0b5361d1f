"""Compile the sparse operators' library, for this machine or for another one.

Needs nothing that is installed: the project's own build runs it, too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from compress.errors import UnavailableError
from compress.files import atomic_path
from compress.operators import PLATFORMS, host

SOURCES = Path(__file__).parent / "native"
HINT = "install a C++ compiler (such as the package g++), or: pip install 'compress-toolchain[sparse]'"

KERNELS: Mapping[str, Mapping[str, tuple[int, tuple[str, ...]]]] = {
    "linux-x86_64": {
        "baseline": (4, ()),
        "avx2": (8, ("-mprfchw", "-mavx2", "-mfma")),
        "avx512": (16, ("-mprfchw", "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma")),
    },
    "linux-aarch64": {"baseline": (4, ())},
}
"""By platform and instruction set: floats in a vector, and the flags that allow it."""

_FLAGS = (
    *("-std=c++17", "-O3", "-DNDEBUG", "-fPIC"),
    *("-fvisibility=hidden", "-fvisibility-inlines-hidden", "-ffunction-sections", "-fdata-sections"),
)
_KERNEL_FLAGS = ("-fno-exceptions", "-fno-rtti")
# Zig links nothing that runs destructors when a library is closed: closed for good, it would crash the process at exit.
_LINK = ("-shared", "-Wl,--gc-sections", "-Wl,-s", "-Wl,-z,nodelete")
_SYMBOLS = "{ global: RegisterCustomOps; compress_sparse_isa; local: *; };\n"
_STATIC = ("-static-libstdc++", "-static-libgcc")
_ZIG_TARGETS = {"linux-x86_64": "x86_64-linux-gnu.2.28", "linux-aarch64": "aarch64-linux-gnu.2.28"}
_SECONDS = 900


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: its command with the target, and what it takes to link its own runtime statically."""

    name: str
    command: tuple[str, ...]
    link: tuple[str, ...] = _STATIC


def key(platform: str) -> str:
    """Return 16 hexadecimal digits that change with the sources and with how they are compiled for ``platform``."""
    digest = hashlib.sha256(repr((platform, KERNELS.get(platform), _FLAGS, _KERNEL_FLAGS, _LINK, _SYMBOLS)).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def instruction_sets(platform: str) -> tuple[str, ...]:
    """Return the instruction sets that a library for ``platform`` has kernels for."""
    return tuple(KERNELS[platform])


def compilers(platform: str) -> Iterator[Compiler]:
    """Yield the compilers that may make libraries for ``platform``, the best first."""
    if platform == host():
        named = os.environ.get("CXX")
        for command in [named] if named else ["c++", "g++", "clang++"]:
            words = shlex.split(command)
            if words and shutil.which(words[0]):
                yield Compiler(command, tuple(words))
    else:
        cross = f"{platform.removeprefix('linux-')}-linux-gnu-g++"
        if shutil.which(cross):
            yield Compiler(cross, (cross,))
    if importlib.util.find_spec("ziglang") is not None and platform in _ZIG_TARGETS:
        target = ("-target", _ZIG_TARGETS[platform], "-fno-sanitize=undefined")
        yield Compiler("ziglang", (sys.executable, "-m", "ziglang", "c++", *target), link=())


def compile_library(
    path: Path, platform: str | None = None, *, extra: Sequence[str] = (), only: Sequence[Compiler] | None = None
) -> Compiler:
    """Write the library for ``platform`` (this machine's where None) to ``path``, whole or not at all.

    Args:
        extra: further flags for every step, such as those of a sanitizer.
        only: compilers to try instead of those found.

    Returns:
        The compiler that made it.

    Raises:
        UnavailableError: the platform is not supported, or no compiler here can do it; the reasons are in the message.
    """
    target = platform or host()
    if target not in KERNELS:
        raise UnavailableError(f"the sparse operators cannot be built for {target}", hint=f"known: {PLATFORMS}")
    reasons: list[str] = []
    for compiler in compilers(target) if only is None else only:
        with tempfile.TemporaryDirectory(prefix="compress-sparse-") as folder:
            try:
                built = _build(compiler, target, Path(folder), extra)
            except (subprocess.SubprocessError, OSError) as error:
                reasons.append(f"{compiler.name}: {_reason(error)}")
                continue
            with atomic_path(path) as temporary:
                shutil.copyfile(built, temporary)
            return compiler
    said = "; ".join(reasons) or f"no C++ compiler for {target} was found"
    raise UnavailableError(f"the sparse operators' library cannot be built ({said})", hint=HINT)


def glibc_needed(library: Path) -> str | None:
    """Return the oldest version of the C library, such as ``2.28``, that can load ``library``; None where any can."""
    found = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", library.read_bytes())
    newest = max(((int(major), int(minor)) for major, minor in found), default=None)
    return f"{newest[0]}.{newest[1]}" if newest else None


def _build(compiler: Compiler, platform: str, folder: Path, extra: Sequence[str]) -> Path:
    """Compile each source, and the kernels once for each instruction set, then link."""
    flags = (*compiler.command, *_FLAGS, *extra)
    steps: list[tuple[str, ...]] = []
    for name, (width, allowed) in KERNELS[platform].items():
        defined = (f"-DISA={name}", f"-DWIDTH={width}", *allowed, *_KERNEL_FLAGS)
        steps.append((*flags, *defined, "-c", str(SOURCES / "kernels.cpp"), "-o", str(folder / f"kernels.{name}.o")))
    others = (source for source in sorted(SOURCES.glob("*.cpp")) if source.name != "kernels.cpp")
    steps += [(*flags, "-c", str(source), "-o", str(folder / f"{source.stem}.o")) for source in others]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(_run, steps))
    built, symbols = folder / "library.so", folder / "symbols.map"
    symbols.write_text(_SYMBOLS)
    link = (*_LINK, f"-Wl,--version-script={symbols}")
    _run((*flags, *link, *compiler.link, *sorted(map(str, folder.glob("*.o"))), "-o", str(built)))
    return built


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)


def _reason(error: subprocess.SubprocessError | OSError) -> str:
    """The compiler's first complaint."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line.strip() for line in str(error.stderr).splitlines() if line.strip()]
        return next((line for line in lines if "error" in line.lower()), lines[0] if lines else str(error))[:300]
    return str(error)[:300]
