"""The staircase of a runtime: found where it was kept, or measured with small files and kept."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.place import HERE, Place
from compress.pipeline.reporter import Reporter
from compress.pipeline.staircase_files import WIDTHS, build

if TYPE_CHECKING:
    from compress.latency.staircase import Key, Staircase, Stairs

SECONDS = 0.2  # of each of the small files
_PROBE = 0.02


def folder() -> Path:
    """Where staircases are kept: ``compress/staircases`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "compress" / "staircases"


def staircase(place: Place, file: Path | None, reporter: Reporter) -> Staircase:
    """Return the staircase of ``place``: that of ``file``, else the one kept; measured and kept where there is none.

    Raises:
        InputError: ``file`` is none, or of another runtime or number of threads.
        UnavailableError: the runtime cannot be used there.
        UndecidedError: the machine was too busy to be measured.
    """
    from compress.latency.staircase import Staircase

    if file is not None and file.exists():
        found = Staircase.load(file)
        _require(found, place, file)
        return found
    with tempfile.TemporaryDirectory(prefix="compress-staircase-") as work:
        key = _key(place, Path(work))
        kept = file or _kept(key)
        if file is None and kept.is_file():
            found = Staircase.load(kept)
            if found.key == key:
                reporter.say(f"widths that pay, measured before ({kept}): {found}")
                return found
        found = Staircase(key, measured(place, Path(work), reporter))
    kept.parent.mkdir(parents=True, exist_ok=True)
    found.save(kept)
    reporter.say(f"widths that pay, kept in {kept}: {found}")
    return found


def measured(place: Place, work: Path, reporter: Reporter, widths: Sequence[int] = WIDTHS) -> dict[str, Stairs]:
    """The stairs of every kind of layer at ``place``, measured with files in the folder ``work``."""
    from compress.latency.staircase import KINDS, fit

    stairs: dict[str, Stairs] = {}
    with reporter.step(f"measuring which widths pay in {place}") as doing:
        for kind in KINDS:
            files = [_written(kind, width, work) for width in widths]
            profiles = place.profiles(files, SECONDS, _ticker(doing, kind))
            stairs[kind] = fit(widths, [profile.p50.value for profile in profiles], kind)
    return stairs


def _ticker(doing: Callable[[str], None], kind: str) -> Callable[[float, str], None]:
    return lambda share, what: doing(f"{kind}, {100 * share:.0f} %")


def _written(kind: str, width: int, work: Path) -> Path:
    import onnx

    path = work / f"{_slug(kind)}-{width}.onnx"
    onnx.save(build(kind, width), str(path))
    return path


def _key(place: Place, work: Path) -> Key:
    """Ask the place what it is, by running a file."""
    from compress.latency.staircase import KINDS, Key

    (profile,) = place.profiles([_written(KINDS[0], WIDTHS[0], work)], _PROBE, lambda share, what: None)
    return Key(place.device, profile.environment.processor, place.runtime, profile.conditions.version, place.threads)


def _kept(key: Key) -> Path:
    from compress.latency.staircase import SUFFIX

    device = () if key.device == HERE else (key.device,)
    parts = (key.runtime, key.version, f"{key.threads}-threads", key.processor, *device)
    return folder() / ("_".join(map(_slug, parts)) + SUFFIX)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


def _require(found: Staircase, place: Place, file: Path) -> None:
    for name, held, wanted in (
        ("runtime", found.key.runtime, place.runtime),
        ("threads", found.key.threads, place.threads),
    ):
        if held != wanted:
            raise InputError(
                f"is the staircase of {name} {held}, not {wanted}", where=str(file), hint="give another --staircase"
            )
