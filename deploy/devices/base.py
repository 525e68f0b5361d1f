"""What a device has to be able to do: answer a request for measurements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from compress.errors import UnavailableError
from deploy.runner.protocol import Answer, MeasureRequest
from deploy.timing import Progress, silent


class DisconnectedError(UnavailableError):
    """A device stopped answering. ``answer`` is what it had said until then."""

    exit_code: ClassVar[int] = 4
    kind: ClassVar[str] = "disconnected"
    """Of the failures that it makes of what was not measured: one of those of :class:`deploy.records.Failure`."""

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, answer: Answer | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.answer = answer or Answer()


class Device(ABC):
    """A machine that measures. ``name`` is what reports call it."""

    name: str

    @property
    def machine(self) -> str:
        """What machine it is: devices that are the same one are measured one after the other."""
        return self.name

    @abstractmethod
    def measure(self, request: MeasureRequest, progress: Progress = silent) -> Answer:
        """Measure there what ``request`` says; its ``files`` are paths *here*.

        Args:
            progress: called with the share done (0 to 1) and what is being done.

        Raises:
            InputError: the request itself is wrong (an unknown runtime, 0 threads), or a file cannot be read.
            DisconnectedError: the device stopped answering; its ``answer`` has what was measured until then.
            UnavailableError: the device cannot be reached, or has not what it takes.
        """

    @abstractmethod
    def describe(self) -> Answer:
        """Return an answer with ``machine`` and ``runtimes`` alone. Raises as :meth:`measure`."""

    @abstractmethod
    def stop(self) -> None:
        """End the measurement that another thread waits for, which raises there; without one, those that follow."""
