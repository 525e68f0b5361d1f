"""Where a device is: ``ssh://user@host[:port]``, checked so strictly that no part can be taken for an option."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compress.errors import InputError

SCHEME = "ssh://"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\$?"
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]"
_ADDRESS = re.compile(rf"ssh://(?:(?P<user>{_USER})@)?(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")
_HINT = "write ssh://user@host or ssh://user@host:port"


@dataclass(frozen=True)
class Address:
    """``user`` and ``port`` are ``None`` where ssh's own configuration decides."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}{user}{host}{f':{self.port}' if self.port else ''}"


def parse_address(text: str) -> Address:
    """Read ``ssh://user@host[:port]``.

    Raises:
        InputError: it is none, it holds a password or a path, or the port is out of range.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        if re.match(r"[^/@:]*:(?!//)[^@]*@", text.removeprefix(SCHEME)):
            # The text is not repeated: it would end in logs.
            raise InputError(
                "the device's address holds a password", hint="set up a key instead: passwords are never taken"
            )
        if re.fullmatch(rf"(?:{_ADDRESS.pattern})/.*", text, re.DOTALL):
            raise InputError(f"{text!r} holds a path", hint=_HINT)
        raise InputError(f"{text!r} is no device's address", hint=_HINT)
    port = match["port"]
    if port is not None and not 0 < int(port) < 65536:
        raise InputError(f"{text!r}: there is no port {port}", hint=_HINT)
    return Address(match["host"].strip("[]"), match["user"], int(port) if port else None)
