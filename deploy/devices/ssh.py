"""A device behind the system's OpenSSH client, with the user's own configuration, keys and agent.

Host keys are checked against those that are known; an unknown one is an error, and never accepted on the way. Nothing
is asked: passwords are neither taken nor passed on. The device's shell gets one fixed line, quoted.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from compress.errors import UnavailableError
from deploy.devices.address import Address
from deploy.devices.channel import BOOTSTRAP
from deploy.devices.remote import Patience, RemoteDevice, Setting

_CONNECT_SECONDS = 15
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "NoHostAuthenticationForLocalhost": "no",
    "ConnectTimeout": str(_CONNECT_SECONDS),
    "ServerAliveInterval": "10",
    "ServerAliveCountMax": "3",
    "ControlMaster": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "ForwardAgent": "no",
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "LogLevel": "INFO",  # a quiet configuration would swallow the reason of a failure
}
_BY_HAND = "connect once by hand to add it, after comparing the fingerprint: "


class SshDevice(RemoteDevice):
    """``ssh://user@host[:port]``; ``config`` is an ssh configuration to use in place of the user's."""

    def __init__(
        self,
        address: Address,
        *,
        name: str | None = None,
        setting: Setting | None = None,
        config: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(name or str(address), setting or Setting(), patience or Patience())
        self.address = address
        self.config = config

    @property
    def machine(self) -> str:
        return f"{self.address.host.lower()}:{self.address.port or ''}"

    def command(self) -> Sequence[str]:
        ssh = shutil.which("ssh")
        if ssh is None:
            raise UnavailableError(
                "devices are reached by OpenSSH, and there is no ssh here",
                hint="install it: apt install openssh-client",
            )
        options = [part for key, value in _OPTIONS.items() for part in ("-o", f"{key}={value}")]
        return [ssh, *self._where(), *options, "--", self.address.host, remote_line(self.setting.python)]

    def why(self, stderr: Sequence[str], code: int | None) -> UnavailableError | None:
        text = "\n".join(stderr)
        if code in (126, 127):
            return UnavailableError(
                f"there is no {self.setting.python} that can be run there",
                where=self.place,
                hint="install Python 3.9 or newer, or name the one to use in devices.yaml (python: /path/to/python3)",
            )
        for pattern, what, hint in self._known():
            found = re.search(pattern, text)
            if found:
                return UnavailableError(what.format(*found.groups()), where=self.place, hint=hint)
        if code == 255:
            said = stderr[-1] if stderr else "no message"
            return UnavailableError(f"cannot be reached ({said})", where=self.place, hint=f"try {self._by_hand()}")
        return None

    def _known(self) -> tuple[tuple[str, str, str], ...]:
        by_hand = self._by_hand()
        spot = self.address.host if self.address.port in (None, 22) else f"[{self.address.host}]:{self.address.port}"
        return (
            (
                r"REMOTE HOST IDENTIFICATION HAS CHANGED",
                "its host key is not the one that is known: this may be another machine, or somebody in between",
                f"where the device was set up anew: ssh-keygen -R {shlex.quote(spot)}, then {_BY_HAND}{by_hand}",
            ),
            (
                r"Host key verification failed|host key is known for",
                "its host key is not known here",
                f"{_BY_HAND}{by_hand}",
            ),
            (
                r"Permission denied \(([^)]*)\)",
                "it accepts none of your keys (it offers {0})",
                f"set up a key (ssh-copy-id), or load it into your agent; passwords are never asked for; try {by_hand}",
            ),
            (
                r"Could not resolve hostname \S+: (.*)",
                "its name is not known ({0})",
                "check the spelling, and the network",
            ),
            (
                r"connect to host \S+ port (\d+): (.*)",
                "it does not answer on port {0} ({1})",
                "check that it is up, and that the address is right",
            ),
        )

    def _where(self) -> list[str]:
        parts = ["-F", str(self.config)] if self.config else []
        parts += ["-p", str(self.address.port)] if self.address.port else []
        return parts + (["-l", self.address.user] if self.address.user else [])

    def _by_hand(self) -> str:
        return shlex.join(["ssh", *self._where(), self.address.host])


def remote_line(python: str) -> str:
    """Return the one line that the device's shell is given; ``~/`` at the start of ``python`` means the home there."""
    home, rest = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return f"exec {home}{shlex.quote(rest)} -c {shlex.quote(BOOTSTRAP)}"
