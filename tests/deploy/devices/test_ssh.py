"""Measuring over a real OpenSSH server: who is let in, who is trusted, and what is said when it breaks."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import deploy
from compress.errors import UnavailableError
from deploy.devices.address import parse_address
from deploy.devices.base import DisconnectedError
from deploy.devices.remote import HungError, Patience, Setting
from deploy.devices.ssh import SshDevice
from deploy.runner.protocol import MeasureRequest
from tests.deploy.devices import sshd
from tests.deploy.devices.conftest import emptied, empty, midway

MakeDevice = Callable[..., SshDevice]


@pytest.fixture
def device(server: sshd.Server, place: Path) -> MakeDevice:
    """Return a function that makes a device of the server, or of another one."""

    def make(
        address: str = server.address,
        *,
        config: Path = server.config,
        python: str = sys.executable,
        patience: Patience | None = None,
    ) -> SshDevice:
        setting = Setting(python=python, folder=str(place))
        return SshDevice(parse_address(address), setting=setting, config=config, patience=patience)

    return make


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[sshd.Server]:
    """A server that a test may break."""
    if sshd.MISSING:
        pytest.skip(sshd.MISSING)
    folder = tmp_path / "sshd"
    folder.mkdir()
    with sshd.serve(folder, settings="SetEnv OMP_NUM_THREADS=1") as running:
        yield running
        running.cut()


def _request(*files: Path, seconds: float = 30.0) -> MeasureRequest:
    return MeasureRequest([str(file) for file in files], seconds=seconds)


def test_the_answer_is_the_one_that_is_had_here(net: Path, bigger_net: Path, device: MakeDevice, place: Path) -> None:
    files = (net, bigger_net)
    there = deploy.measure(files, device=device(), seconds=0.1)
    here = deploy.measure(files, seconds=0.1)
    assert not there.failures
    for mine, theirs in zip(here.profiles, there.profiles, strict=True):
        assert theirs.target == device().name
        assert theirs.model_dump(mode="json").keys() == mine.model_dump(mode="json").keys()
        assert theirs.file == mine.file
        assert theirs.incomparable(mine) == "measured with different target"
    assert empty(place)


def test_files_with_external_data_and_odd_names_arrive(make_net: Callable[..., Path], device: MakeDevice) -> None:
    net = make_net("'; touch owned; '.onnx", external="-rf $(touch owned) \n'.bin")
    outcome = deploy.measure([net], device=device(), seconds=0.1)
    assert [profile.file.name for profile in outcome.profiles] == [net.name]


def test_large_files_arrive_whole(make_net: Callable[..., Path], device: MakeDevice, place: Path) -> None:
    net = make_net("large.onnx", channels=640, layers=3)
    assert net.stat().st_size > 20e6
    shown: list[str] = []
    answer = device().measure(_request(net, seconds=0.1), lambda share, text: shown.append(text))
    assert len(answer.figures) == 1
    assert len({text for text in shown if text.startswith("sending")}) > 50
    assert empty(place)


def test_what_a_login_prints_is_no_answer(net: Path, tmp_path: Path) -> None:
    if sshd.MISSING:
        pytest.skip(sshd.MISSING)
    (tmp_path / "home").mkdir()
    noise = "echo 'Welcome to {\"event\": \"done\"}'; echo careful >&2; printf 'no end of line'\n"
    (tmp_path / "home" / ".bashrc").write_text(noise)
    (tmp_path / "banner").write_text("AUTHORISED USE ONLY\nPermission denied (ha)\n")
    settings = f"SetEnv HOME={tmp_path / 'home'} BASH_ENV={tmp_path / 'home' / '.bashrc'}\nBanner {tmp_path / 'banner'}"
    with sshd.serve(tmp_path, settings=settings) as server:
        device = SshDevice(parse_address(server.address), setting=Setting(sys.executable), config=server.config)
        assert len(device.measure(_request(net, seconds=0.1)).figures) == 1


def test_an_unknown_host_key_is_refused_and_not_added(server: sshd.Server, device: MakeDevice, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    with pytest.raises(UnavailableError, match="its host key is not known here") as caught:
        device(config=server.client("nobody-known", known_hosts=known)).describe()
    assert f"ssh -F {server.folder / 'nobody-known'} -p {server.port}" in str(caught.value.hint)
    assert known.read_text() == ""


def test_a_configuration_that_accepts_new_keys_does_not_weaken_it(
    server: sshd.Server, device: MakeDevice, tmp_path: Path
) -> None:
    config = server.client("careless", known_hosts=tmp_path / "none")
    config.write_text("StrictHostKeyChecking no\nNoHostAuthenticationForLocalhost yes\n" + config.read_text())
    with pytest.raises(UnavailableError, match="its host key is not known here"):
        device(config=config).describe()


def test_a_changed_host_key_is_refused(server: sshd.Server, device: MakeDevice, tmp_path: Path) -> None:
    other = sshd.make_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {other.with_suffix('.pub').read_text()}")
    with pytest.raises(UnavailableError, match="its host key is not the one that is known") as caught:
        device(config=server.client("changed", known_hosts=known)).describe()
    assert "ssh-keygen -R" in str(caught.value.hint)


def test_a_key_that_is_not_accepted_ends_at_once(server: sshd.Server, device: MakeDevice, tmp_path: Path) -> None:
    key = sshd.make_key(tmp_path / "stranger")
    with pytest.raises(UnavailableError, match="accepts none of your keys") as caught:
        device(config=server.client("stranger", key=key)).describe()
    assert "passwords are never asked for" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ssh://user@127.0.0.1:1", "does not answer on port 1"),
        ("ssh://user@no-such-host.invalid", "its name is not known"),
    ],
)
def test_a_device_that_is_not_there_is_told(address: str, said: str, device: MakeDevice) -> None:
    with pytest.raises(UnavailableError, match=said) as caught:
        device(address).describe()
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_server_that_never_speaks_is_given_up(device: MakeDevice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        patient = device(f"ssh://user@127.0.0.1:{port}", patience=Patience(connecting=2.0, parting=0.2))
        with pytest.raises(UnavailableError, match="did not answer within 2 s"):
            patient.describe()


def test_pythons_that_are_missing_or_bare_are_told(device: MakeDevice, bare_python: Path, place: Path) -> None:
    with pytest.raises(UnavailableError, match=r"there is no /no/such/\$\(python\) that can be run there"):
        device(python="/no/such/$(python)").describe()
    with pytest.raises(UnavailableError, match="numpy is not installed"):
        device(python=str(bare_python)).describe()
    assert empty(place)


def test_a_dropped_connection_says_how_to_repeat_and_leaves_nothing(
    own_server: sshd.Server, net: Path, device: MakeDevice, place: Path
) -> None:
    doomed = device(own_server.address, config=own_server.config)
    with pytest.raises(DisconnectedError, match="the connection broke off") as caught:
        doomed.measure(_request(net), midway(own_server.cut))
    assert f"run the command again (--device {doomed.name}" in str(caught.value.hint)
    assert emptied(place)


def test_a_connection_that_drops_while_files_are_sent_is_told(
    own_server: sshd.Server, make_net: Callable[..., Path], device: MakeDevice, place: Path
) -> None:
    large = make_net("sent.onnx", channels=640, layers=3)
    doomed = device(own_server.address, config=own_server.config)
    with pytest.raises(DisconnectedError, match="the connection broke off"):
        doomed.measure(_request(large), midway(own_server.cut, share=0.02))
    assert emptied(place)


def test_a_connection_that_hangs_is_given_up(
    own_server: sshd.Server, net: Path, device: MakeDevice, place: Path
) -> None:
    stopped: list[psutil.Process] = []

    def freeze() -> None:
        stopped.extend(own_server.connections())
        for process in stopped:
            process.suspend()

    frozen = device(own_server.address, config=own_server.config, patience=Patience(silence=2.5, parting=0.5))
    with pytest.raises(HungError, match="nothing was heard"):
        frozen.measure(_request(net), midway(freeze))
    for process in stopped:
        process.resume()
    assert emptied(place)


def test_no_ssh_here_is_told(device: MakeDevice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="there is no ssh here") as caught:
        device().describe()
    assert "openssh-client" in str(caught.value.hint)


def test_nothing_that_is_asked_for_is_on_the_command_line(device: MakeDevice, net: Path) -> None:
    command = device("ssh://someone@host.example:2222").command()
    assert command[-3] == "--"
    assert command[-2] == "host.example"
    assert str(net) not in " ".join(command)
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes"):
        assert option in command
