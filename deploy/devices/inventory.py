"""``devices.yaml``: the devices that have names, how they are reached, and what is measured on them by default."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from compress.errors import InputError
from deploy.devices.address import SCHEME, parse_address
from deploy.devices.base import Device
from deploy.devices.local import LocalDevice
from deploy.devices.remote import Setting
from deploy.devices.ssh import SshDevice
from deploy.strictyaml import StrictLoader

FILE = "devices.yaml"
HERE, ALL = "here", "all"
VARIABLES = ("CUDA_VISIBLE_DEVICES", "DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH")
"""Of the environment, what a device may be given: where its runtimes' libraries lie, and which GPU to take."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SECRETS = {"password", "passwd", "pass", "passphrase", "secret", "token"}
_EXAMPLE = "write NAME: {ssh: ssh://user@host}"


class Entry(BaseModel):
    """One device. ``folder`` is where its temporary files go; ``note`` is for people."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ssh: str
    python: Annotated[str, Field(min_length=1)] = "python3"
    folder: str | None = None
    runtimes: list[str] = []
    threads: list[Annotated[int, Field(ge=1)]] = []
    environment: dict[str, str] = {}
    ssh_config: str | None = None
    note: str | None = None

    @field_validator("environment")
    @classmethod
    def _allowed(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in VARIABLES:
                raise ValueError(f"{name} is not passed on; only {', '.join(VARIABLES)} are")
        return value

    @field_validator("python", "folder")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("-") or not value.isprintable()):
            raise ValueError("starts with a dash, or holds control characters")
        return value


@dataclass(frozen=True)
class Target:
    """A device to measure on; ``runtimes`` and ``threads`` are what its entry names, empty where it names none."""

    device: Device
    runtimes: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.device.name


@dataclass(frozen=True)
class Inventory:
    """The devices of the file ``path``; of no file where it is ``None``."""

    entries: Mapping[str, Entry]
    path: Path | None = None

    def targets(self, wanted: Sequence[str]) -> list[Target]:
        """Return what names, ``ssh://`` addresses, ``here`` and ``all`` (of the file) stand for, each once.

        Raises:
            InputError: a name is not known, an address is malformed, or ``all`` are none.
        """
        names: dict[str, None] = {}
        for name in wanted:
            names.update(dict.fromkeys(self._all() if name == ALL else [name]))
        return [self._target(name) for name in names]

    def _all(self) -> list[str]:
        if not self.entries:
            where = f"{self.path} names none" if self.path else f"there is no {FILE} here, nor in {user_file().parent}"
            raise InputError(f"all devices were asked for, and {where}", hint=_EXAMPLE)
        return list(self.entries)

    def _target(self, name: str) -> Target:
        if name == HERE:
            return Target(LocalDevice())
        if name.startswith(SCHEME) or "@" in name:
            return Target(SshDevice(parse_address(name)))
        if name not in self.entries:
            near = difflib.get_close_matches(name, self.entries, n=1)
            known = f"known are {', '.join([HERE, *self.entries])}" if self.entries else f"{FILE} would name it"
            meant = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"no device is called {name!r}", hint=f"{meant}{known}, or write ssh://user@host")
        entry = self.entries[name]
        device = SshDevice(
            parse_address(entry.ssh),
            name=name,
            setting=Setting(entry.python, entry.folder, dict(entry.environment)),
            config=self._config(entry),
        )
        return Target(device, tuple(entry.runtimes), tuple(entry.threads))

    def _config(self, entry: Entry) -> Path | None:
        if entry.ssh_config is None or self.path is None:
            return None
        return self.path.resolve().parent / Path(entry.ssh_config).expanduser()


def targets(wanted: Sequence[str], chosen: str | os.PathLike[str] | None = None) -> list[Target]:
    """Return what ``wanted`` stands for, as :meth:`Inventory.targets`; a file that nobody needs is not read.

    Raises:
        InputError: as :meth:`Inventory.targets` and :func:`find`.
    """
    needed = chosen is not None or any(name != HERE and not name.startswith(SCHEME) for name in wanted)
    return (find(chosen) if needed else Inventory({})).targets(wanted)


def find(chosen: str | os.PathLike[str] | None = None) -> Inventory:
    """Return the inventory of the ``chosen`` file, of ``./devices.yaml``, or of the user's; an empty one without any.

    Raises:
        InputError: the file is missing, malformed, or holds what it must not.
    """
    if chosen is not None:
        return read(Path(chosen))
    found = next((path for path in (Path(FILE), user_file()) if path.is_file()), None)
    return read(found) if found else Inventory({})


def user_file() -> Path:
    """Return where the user's own ``devices.yaml`` is looked for."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "compress" / FILE


def read(path: Path) -> Inventory:
    """Read a ``devices.yaml``. Raises :class:`InputError` naming the key that is wrong, never its value."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not UTF-8 text"
        raise InputError(f"is no YAML{line} ({problem})", where=str(path), hint=_EXAMPLE) from error
    if not isinstance(content, dict):
        raise InputError("holds no devices", where=str(path), hint=_EXAMPLE)
    return Inventory({_name(key, path): _entry(key, value, path) for key, value in content.items()}, path)


def _name(key: object, path: Path) -> str:
    if not isinstance(key, str) or not _NAME.fullmatch(key):
        raise InputError(f"{key!r} is no name for a device", where=str(path), hint="letters, digits, '.', '_' and '-'")
    if key in (HERE, ALL):
        raise InputError(f"no device can be called {key!r}: the name is taken", where=str(path))
    return key


def _entry(name: str, value: object, path: Path) -> Entry:
    if not isinstance(value, dict):
        raise InputError(f"device {name} is no mapping", where=str(path), hint=_EXAMPLE)
    secrets = sorted(str(key) for key in value if str(key).lower() in _SECRETS)
    if secrets:
        raise InputError(
            f"device {name} has a {secrets[0]}: files are copied and shared, so that none is read from here",
            where=str(path),
            hint="remove it, and set up a key (ssh-copy-id)",
        )
    try:
        entry = Entry.model_validate(value)
        parse_address(entry.ssh)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        known = f"known are {', '.join(Entry.model_fields)}" if first["type"] == "extra_forbidden" else None
        message = "is not known" if known else str(first["msg"]).removeprefix("Value error, ")
        raise InputError(f"device {name}, {key}: {message}", where=str(path), hint=known) from error
    except InputError as error:
        raise InputError(f"device {name}: {error.what}", where=str(path), hint=error.hint) from error
    return entry
