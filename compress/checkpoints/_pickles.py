"""List the Python objects that a pickle names, by reading its opcodes: nothing is executed."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import IO

# Objects that hold data and do nothing else, as training scripts leave them beside the weights.
PLAIN_GLOBALS = frozenset({
    "argparse.Namespace", "collections.Counter", "collections.OrderedDict",
    "datetime.date", "datetime.datetime", "datetime.timedelta", "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "pathlib.PosixPath",
    "pathlib.PurePosixPath", "_codecs.encode", "builtins.bytearray", "builtins.complex", "builtins.dict",
    "builtins.float", "builtins.int", "builtins.list", "builtins.set", "builtins.slice", "builtins.str",
    "builtins.tuple",
})  # fmt: skip
_STRING_OPCODES = (
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
)  # fmt: skip
# torch.save before 1.6 writes magic number, protocol and machine info as pickles of their own before the object.
_LEGACY_PREAMBLE = 3


def is_code(name: str) -> bool:
    """Tell whether a global is neither plain data nor one of torch's own tensor types and rebuilding functions."""
    if name.startswith(("torch.nn.modules.", "torch.fx.", "torch.jit.")):
        return True
    return not name.startswith("torch.") and name not in PLAIN_GLOBALS


def globals_of_zip(path: Path) -> list[str]:
    """Return ``module.name`` of every global in the ``data.pkl`` of a ``torch.save`` zip archive, in order."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.partition("/")[2] == "data.pkl")
        with archive.open(name) as stream:
            return _globals(stream)


def globals_of_legacy(path: Path) -> list[str]:
    """Return ``module.name`` of every global in a ``torch.save`` file from before torch 1.6, in order."""
    with open(path, "rb") as stream:
        for _ in range(_LEGACY_PREAMBLE):
            _globals(stream)
        return _globals(stream)


def _globals(stream: IO[bytes]) -> list[str]:
    found: dict[str, None] = {}
    strings: list[str] = []
    memo: dict[object, str] = {}
    last = ""
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name == "GLOBAL":
            # Protocol 2 spells modules as Python 2 did.
            found[str(argument).replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)] = None
        elif name == "STACK_GLOBAL":
            found[".".join(strings[-2:])] = None
        elif name in _STRING_OPCODES:
            last = str(argument)
            strings = [*strings[-1:], last]
        elif name == "MEMOIZE":
            memo[len(memo)] = last
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = last
        elif name in ("GET", "BINGET", "LONG_BINGET") and argument in memo:
            last = memo[argument]
            strings = [*strings[-1:], last]
    return list(found)
