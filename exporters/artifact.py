"""One deployment file with the evidence for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VERIFIED = "verified"
COMPILED_AHEAD = "compiled ahead of time, not executed"
COMPILED_HERE = "compiled on this machine's GPU, not executed"


@dataclass(frozen=True)
class Artifact:
    """A file that was written, and what is known about it.

    Attributes:
        path: the file.
        sha256: the hash of its content, 64 hexadecimal digits.
        kind: ``onnx``, ``onnx-fp16``, ``onnx-sparse``, ``onnx-sparse-storage`` or ``tensorrt``.
        status: ``verified``, or for engines what was done short of running them.
        verification: numerical figures (``max_error``, ``allowed``, ``float32_noise``, ``samples`` ...); errors are
            relative to the largest magnitude of the output. Empty where nothing was executed.
        metadata: everything else worth recording, as JSON types.
    """

    path: Path
    sha256: str
    kind: str
    status: str = VERIFIED
    verification: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the artifact as JSON types, with the file's name instead of its whole path."""
        return asdict(self) | {"path": self.path.name, "bytes": self.path.stat().st_size}
