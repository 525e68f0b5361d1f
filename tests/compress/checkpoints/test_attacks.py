"""Archives that run code in plain torch.export.load, and what the hardened loader makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compress.checkpoints import sanitise_pt2
from compress.errors import CheckpointError

from ._archives import ATTACKS, Entries, network, pack

# torch itself stops these two today (its verifier; dead code elimination); they stay refused in case it changes.
STOPPED_BY_TORCH = {"operator resolved from torch", "node name pasted into source"}
# Nothing is left of these after rewriting, so the network loads; every other attack is refused.
DEFUSED = {"pickled example inputs", "guards_code through exec"}


@pytest.fixture(scope="module")
def attacked(entries: Entries, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacks")
    for name, attack in ATTACKS.items():
        pack(attack(entries, marker(folder, name)), folder / f"{name}.pt2")
    return folder


@pytest.fixture(scope="module")
def ran_plainly(attacked: Path) -> set[str]:
    """Names of the attacks whose payload ran in a process that used torch.export.load alone."""
    script = Path(__file__).with_name("_plain_load.py")
    files = [str(attacked / f"{name}.pt2") for name in ATTACKS]
    environment = {**os.environ, "PYTHONPATH": str(attacked)}
    subprocess.run([sys.executable, script, *files], env=environment, check=True, capture_output=True, timeout=300)
    ran = {name for name in ATTACKS if marker(attacked, name).exists()}
    for name in ran:
        marker(attacked, name).unlink()
    return ran


def marker(folder: Path, name: str) -> Path:
    return folder / f"ran-{name}".replace(" ", "-")


@pytest.mark.parametrize("name", ATTACKS)
def test_payload_runs_in_plain_load_and_never_in_ours(
    name: str, attacked: Path, ran_plainly: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(attacked))
    inputs = torch.randn(3, 3, 8, 8)
    if name in DEFUSED:
        module = torch.export.load(sanitise_pt2(attacked / f"{name}.pt2")).module()
        torch.testing.assert_close(module(inputs), network()(inputs))
    else:
        with pytest.raises(CheckpointError, match="is refused") as caught:
            sanitise_pt2(attacked / f"{name}.pt2")
        assert "\n" not in str(caught.value)
    assert not marker(attacked, name).exists()
    assert "evil_module" not in sys.modules
    if name in STOPPED_BY_TORCH and name not in ran_plainly:
        pytest.skip("ours refuses it; this torch stops the payload by itself, so there is nothing to contrast with")
    assert name in ran_plainly, "the attack no longer shows anything: update it"
