"""This machine as a device: what is stopped leaves nothing behind."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from deploy.devices.base import DisconnectedError
from deploy.devices.local import LocalDevice
from deploy.runner.protocol import MeasureRequest


def test_a_measurement_that_is_stopped_leaves_no_files(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    device, measuring = LocalDevice(), threading.Event()

    def progress(_share: float, text: str) -> None:
        if text == "measuring":
            assert any(tmp_path.iterdir())
            measuring.set()

    def stop() -> None:
        measuring.wait(120)
        device.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(DisconnectedError):
        device.measure(MeasureRequest([str(net)], seconds=500), progress)
    stopper.join()
    assert measuring.is_set()
    assert list(tmp_path.iterdir()) == []
