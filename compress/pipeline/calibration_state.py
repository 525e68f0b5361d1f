"""What a calibration has measured so far, in a file that is replaced after each round."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import write_text

if TYPE_CHECKING:
    from compress.latency.measurement import Failed, Measurement
    from compress.latency.record import Key


class State:
    """Measurements, those to be fitted to and those held out, and under what key.

    Args:
        path: of the file.
        identity: everything that the measurements depend on, by name, as JSON holds it.
        forget: start over.

    Raises:
        InputError: the file is damaged, or of a calibration of something else.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, forget: bool) -> None:
        self._path, self._identity = path, identity
        self.fitted: list[Measurement] = []
        self.held_out: list[Measurement] = []
        self.failed: list[Failed] = []
        self.dense: list[float] = []
        self.key: Key | None = None
        if path.exists() and not forget:
            self._read()

    @property
    def started(self) -> bool:
        """Whether anything was measured."""
        return bool(self.fitted or self.held_out)

    def _read(self) -> None:
        from compress.latency.measurement import Failed, Measurement
        from compress.latency.record import Key
        from compress.training.state import check_identity

        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            recorded = found["identity"]
            self.fitted = [Measurement.model_validate(entry) for entry in found["fitted"]]
            self.held_out = [Measurement.model_validate(entry) for entry in found["held_out"]]
            self.failed = [Failed.model_validate(entry) for entry in found["failed"]]
            self.dense = [float(value) for value in found["dense"]]
            self.key = Key.model_validate(found["key"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"cannot be read as the state of a calibration ({type(error).__name__})",
                where=str(self._path),
                hint="remove it to start over, or give --restart",
            ) from error
        check_identity(self._path, recorded, self._identity)

    def take(self, key: Key, dense: float) -> None:
        """Note the dense file's milliseconds in a round, and under what it was measured.

        Raises:
            InputError: it is measured otherwise now than before.
        """
        if self.key is not None and self.key != key:
            raise InputError(
                f"was measured under {self.key.describe()}, now it is {key.describe()}",
                where=str(self._path),
                hint="start over with --restart",
            )
        self.key = key
        self.dense.append(dense)

    def save(self) -> None:
        """Write it."""
        assert self.key is not None, "nothing was measured"
        self._path.parent.mkdir(exist_ok=True)
        document = {
            "identity": self._identity,
            "key": self.key.model_dump(mode="json"),
            "dense": self.dense,
            "fitted": [one.model_dump(mode="json") for one in self.fitted],
            "failed": [one.model_dump(mode="json") for one in self.failed],
            "held_out": [one.model_dump(mode="json") for one in self.held_out],
        }
        write_text(self._path, json.dumps(document))

    def forget(self) -> None:
        """Drop the file, and its folder where nothing else is in it."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a folder with other things in it stays
            self._path.parent.rmdir()
