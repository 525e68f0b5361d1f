"""Where the sparse operators' library is: in the installation, or built once into this user's cache."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from compress.errors import InputError, UnavailableError
from compress.files import check_writable, sha256_file
from compress.operators import PLATFORMS, host, library_name
from exporters.sparse import compiler

INSTALLED = Path(__file__).parent / "lib"
"""Where an installation that was built with a compiler has it."""


def find(platform: str | None = None, progress: Callable[[str], None] | None = None) -> Path:
    """Return the library for ``platform`` (this machine's where None), built now where that was not done before.

    It is built at most once for each state of its sources, by whichever process comes first; the others wait.

    Args:
        progress: called with what is about to be done, where that may take minutes.

    Raises:
        UnavailableError: the platform is not supported, or there is no library and no compiler to make it.
    """
    wanted = platform or host()
    if wanted not in PLATFORMS:
        raise UnavailableError(
            f"the sparse operators have no library for {wanted}", hint=f"there is one for {', '.join(PLATFORMS)}"
        )
    installed = INSTALLED / library_name(wanted)
    if installed.is_file():
        return installed
    cached = cache_folder() / compiler.key(wanted) / library_name(wanted)
    if not cached.is_file():
        with _alone(cached.parent):
            if not cached.is_file():
                if progress is not None:
                    progress(f"compiling the sparse operators for {wanted}: only this once, for a minute or several")
                compiler.compile_library(cached, wanted)
    return cached


def check_place(beside: Path, built: Path, *, overwrite: bool) -> None:
    """Fail before work starts where ``built`` cannot be put at ``beside``.

    Raises:
        InputError: another version lies there, which other files of the folder may need, and ``overwrite`` is false; or
            the place cannot be written to.
    """
    if same(beside, built):
        return
    if beside.is_file() and not overwrite:
        raise InputError(
            "exists already, and is another version than this tool has",
            where=str(beside),
            hint="choose another folder with -o, or replace it with --force, for all sparse files in that folder",
        )
    check_writable(beside, overwrite=overwrite)


def same(beside: Path, built: Path) -> bool:
    """Whether ``built`` is there already."""
    return beside.is_file() and sha256_file(beside) == sha256_file(built)


def cache_folder() -> Path:
    """Return the folder that holds built libraries: ``compress-toolchain/sparse`` in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "compress-toolchain" / "sparse"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock on ``folder``, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "w")  # noqa: SIM115 - closed below; opening is what may fail
    except OSError as error:
        raise UnavailableError(
            f"the sparse operators' library cannot be kept in {folder} ({error.strerror})",
            hint="set XDG_CACHE_HOME to a folder that can be written to",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
