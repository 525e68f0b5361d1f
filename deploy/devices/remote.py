"""A device that is reached through a process: send the runner and the files, pass the request on, gather the answer."""

from __future__ import annotations

import dataclasses
import posixpath
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from compress.errors import UnavailableError
from compress.operators import platform_name
from deploy.devices.base import Device, DisconnectedError
from deploy.devices.cargo import CODE, Cargo, pack
from deploy.devices.channel import PARTING, TOO_OLD, Channel, ChannelError, Event
from deploy.runner.protocol import Answer, MeasureRequest, error, request_line
from deploy.timing import Progress, silent

_SENDING = 0.1  # the share of the progress that sending takes
_SPARE = 64 << 20  # bytes that the runner itself may need there


class HungError(DisconnectedError):
    """A device that is connected, and says nothing any more."""

    kind: ClassVar[str] = "hung"


@dataclass(frozen=True)
class Patience:
    """Seconds without a sign of life after which a device is given up: while connecting, afterwards, and at the end."""

    connecting: float = 60.0
    silence: float = 60.0
    parting: float = PARTING


@dataclass(frozen=True)
class Setting:
    """What of the device is used: its Python, the folder for temporary files, environment variables."""

    python: str = "python3"
    folder: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class RemoteDevice(Device):
    """Measures elsewhere, by a runner that is copied there for each request and removed afterwards."""

    def __init__(self, name: str, setting: Setting, patience: Patience) -> None:
        self.name = name
        self.setting = setting
        self.patience = patience
        self._channel: Channel | None = None
        self._stopped = False

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"device {self.name}"

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the local command whose pipes end at ``BOOTSTRAP`` in the device's Python."""

    @abstractmethod
    def why(self, stderr: Sequence[str], code: int | None) -> UnavailableError | None:
        """Return what the command's exit code and stderr say of a connection that did not come about, if they do."""

    def measure(self, request: MeasureRequest, progress: Progress = silent) -> Answer:
        """Measure ``request.files``, which are paths here, on the device.

        Raises:
            InputError: a file is missing or damaged, or the request is wrong.
            UnavailableError: the device cannot be reached, or lacks what the runner needs.
            DisconnectedError: the connection broke, or the device fell silent.
        """
        return self._converse(request, progress)

    def describe(self) -> Answer:
        """Return what the device is and which runtimes it has. Raises as :meth:`measure`."""
        return self._converse(None, silent)

    def stop(self) -> None:
        self._stopped, channel = True, self._channel
        if channel is not None:
            channel.stop()

    def _converse(self, request: MeasureRequest | None, progress: Progress) -> Answer:
        progress(0.0, "connecting")
        folder, answer = None, Answer()
        with Channel(self.command(), place=self.setting.folder, parting=self.patience.parting) as channel:
            self._channel = channel
            if self._stopped:
                channel.stop()
            try:
                hello = self._greet(channel)
                folder = hello["folder"]
                cargo = pack(request.files if request else (), _platform(hello))
                self._check(hello, cargo)
                self._send(channel, cargo, progress)
                progress(_SENDING, "starting the runner")
                self._ask(channel, request, folder, cargo)
                self._listen(channel, answer, progress)
            except ChannelError as broken:
                raise self._explained(broken, folder, answer) from broken
            finally:
                self._channel = None
        return answer

    def _greet(self, channel: Channel) -> Event:
        event = channel.greet(patience=self.patience.connecting)
        self._refuse(event)
        return event

    def _check(self, hello: Event, cargo: Cargo) -> None:
        python = hello["executable"]
        if not hello["numpy"]:
            raise UnavailableError(
                f"numpy is not installed for {python} (Python {hello['python']}) there",
                where=self.place,
                hint=f"run there: {python} -m pip install numpy onnxruntime; or name another Python in devices.yaml",
            )
        if hello["free"] < cargo.size + _SPARE:
            raise UnavailableError(
                f"{cargo.size / 1e6:.0f} MB are to be sent, and {hello['free'] / 1e6:.0f} MB are free in its folder "
                "for temporary files",
                where=self.place,
                hint="make room there, or name another folder in devices.yaml",
            )

    def _send(self, channel: Channel, cargo: Cargo, progress: Progress) -> None:
        done = 0
        total = max(1, cargo.size)

        def sent(count: int) -> None:
            nonlocal done
            done += count
            progress(_SENDING * (done / total), f"sending {done / 1e6:.1f} of {total / 1e6:.1f} MB")

        for part in cargo.parts:
            if not channel.send(part, patience=self.patience.silence, sent=sent):
                return  # the device's reason is among its events

    def _ask(self, channel: Channel, request: MeasureRequest | None, folder: str, cargo: Cargo) -> None:
        there = [posixpath.join(folder, *names) for names in cargo.entries]
        asked = dataclasses.replace(request, files=there) if request else None
        channel.run(
            ("-m", "deploy.runner"),
            request_line(asked),
            environment=self.setting.environment,
            unpack=CODE,
            patience=self.patience.silence,
        )

    def _listen(self, channel: Channel, answer: Answer, progress: Progress) -> None:
        whole = False
        while True:
            event = channel.event(patience=self.patience.silence)
            self._refuse(event)
            if event["event"] == "end":
                break
            try:
                answer.add(event)
            except ValueError as error:
                text = f"answered what nobody understands ({error})"
                raise DisconnectedError(text, where=self.place, answer=answer) from error
            if event["event"] == "progress":
                progress(_SENDING + (1 - _SENDING) * event["share"], event["text"])
            whole = whole or event["event"] == "done"
        if not whole:
            raise DisconnectedError(
                f"the runner ended there with code {event['code']} ({_last(event['stderr'])})",
                where=self.place,
                hint=f"check that numpy can be imported there, and {self.repeat}",
                answer=answer,
            )
        if event["left"]:
            progress(1.0, f"could not remove {event['left']} there")

    def _refuse(self, event: Event) -> None:
        if event["event"] == "error":
            told = error(event)
            raise type(told)(told.what, where=told.where or self.place, hint=told.hint)

    @property
    def repeat(self) -> str:
        """How to repeat, for messages."""
        return f"run the command again (--device {self.name} for this device alone)"

    def _explained(self, broken: ChannelError, folder: str | None, answer: Answer) -> UnavailableError:
        if folder is None:
            return self._unreachable(broken)
        hint = f"{self.repeat}; its files there go when it notices, after a power cut remove {folder} yourself"
        if broken.silent is not None:
            what = f"hung: nothing was heard for {broken.silent:.0f} s"
            return HungError(what, where=self.place, hint=hint, answer=answer)
        said = f" ({broken.stderr[-1]})" if broken.stderr else ""
        return DisconnectedError(f"the connection broke off{said}", where=self.place, hint=hint, answer=answer)

    def _unreachable(self, broken: ChannelError) -> UnavailableError:
        if broken.silent is not None:
            what = f"did not answer within {broken.silent:.0f} s"
            return UnavailableError(what, where=self.place, hint="check that it is up and not overloaded")
        too_old = next((line for line in broken.stderr if TOO_OLD in line), None)
        if too_old:
            hint = "name a newer one in devices.yaml (python: /path/to/python3)"
            return UnavailableError(too_old[too_old.index(TOO_OLD) :], where=self.place, hint=hint)
        explained = self.why(broken.stderr, broken.code)
        if explained is not None:
            return explained
        said = broken.stderr[-1] if broken.stderr else "no message"
        return UnavailableError(
            f"{self.setting.python} did not start there (exit code {broken.code}: {said})",
            where=self.place,
            hint="name the Python to use in devices.yaml (python: /path/to/python3)",
        )


def _platform(hello: Event) -> str:
    return platform_name(hello["system"], hello["machine"])


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"
