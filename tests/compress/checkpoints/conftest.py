"""One exported archive for the whole folder: exporting takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ._archives import Entries, entries_of, network, save


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(network(), tmp_path_factory.mktemp("archive") / "net.pt2")


@pytest.fixture(scope="session")
def entries(archive: Path) -> Entries:
    return entries_of(archive)
