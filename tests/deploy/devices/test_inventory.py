"""devices.yaml: what it may say, what it must not, and where it is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.errors import InputError
from deploy.devices import inventory
from deploy.devices.local import LocalDevice
from deploy.devices.ssh import SshDevice

GOOD = """
pi:
  ssh: ssh://pi@raspberrypi.local
  python: ~/venv/bin/python
  threads: [1, 4]
jetson:
  ssh: ssh://nvidia@10.0.0.9:2222
  runtimes: [onnxruntime-cuda, tensorrt]
  environment: {LD_LIBRARY_PATH: /opt/tensorrt/lib}
  folder: /data/tmp
  ssh_config: keys/config
  note: the one in the lab
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "devices.yaml"
    path.write_text(text)
    return path


def test_names_addresses_here_and_all_become_devices(tmp_path: Path) -> None:
    known = inventory.read(written(tmp_path, GOOD))
    targets = known.targets(["here", "all", "pi", "ssh://user@host:22"])
    assert [target.name for target in targets] == ["here", "pi", "jetson", "ssh://user@host:22"]
    assert [target.threads for target in targets] == [(), (1, 4), (), ()]
    assert targets[2].runtimes == ("onnxruntime-cuda", "tensorrt")
    assert isinstance(targets[0].device, LocalDevice)
    jetson = targets[2].device
    assert isinstance(jetson, SshDevice)
    assert str(jetson.address) == "ssh://nvidia@10.0.0.9:2222"
    assert jetson.setting.environment == {"LD_LIBRARY_PATH": "/opt/tensorrt/lib"}
    assert jetson.setting.folder == "/data/tmp"
    assert jetson.config == tmp_path / "keys" / "config"


def test_the_readme_shows_one_that_is_right(tmp_path: Path) -> None:
    readme = (Path(inventory.__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = readme.split("```yaml\npi:")[1].split("```")[0]
    known = inventory.read(written(tmp_path, f"pi:{shown}"))
    assert [target.name for target in known.targets(["all"])] == ["pi", "jetson"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pi: {ssh: ssh://pi@host, pasword: x}", "pasword: is not known; known are ssh, python"),
        ("pi: {ssh: ssh://pi@host, password: hunter2}", "has a password"),
        ("pi: {ssh: ssh://pi@host, Passphrase: hunter2}", "set up a key"),
        ("pi: {ssh: 'ssh://pi:hunter2@host'}", "holds a password"),
        ("pi: {ssh: pi@host}", "write ssh://user@host"),
        ("pi: {ssh: 'ssh://-oProxyCommand=x'}", "no device's address"),
        ("pi: {python: python3}", "ssh: Field required"),
        ("pi: {ssh: ssh://pi@host, threads: [0]}", "threads.0"),
        ("pi: {ssh: ssh://pi@host, threads: 4}", "threads"),
        ("pi: {ssh: ssh://pi@host, python: '-c'}", "python"),
        ("pi: {ssh: ssh://pi@host, python: ''}", "python"),
        ("pi: {ssh: ssh://pi@host, environment: {HUNTER: hunter2}}", "only CUDA_VISIBLE_DEVICES"),
        ("pi: {ssh: ssh://pi@host}\npi: {ssh: ssh://pi@other}", "'pi' is there twice"),
        ("all: {ssh: ssh://pi@host}", "the name is taken"),
        ("here: {ssh: ssh://pi@host}", "the name is taken"),
        ("-x: {ssh: ssh://pi@host}", "is no name for a device"),
        ("7: {ssh: ssh://pi@host}", "is no name for a device"),
        ("pi: ssh://pi@host", "is no mapping"),
        ("- pi", "holds no devices"),
        ("", "holds no devices"),
        ("pi: {ssh: [", "is no YAML in line 1"),
        ("pi: !!python/object/apply:os.system [touch owned]", "is no YAML"),
    ],
)
def test_what_is_wrong_is_named_and_secrets_are_not_repeated(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        inventory.read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_unknown_names_are_refused_with_those_that_are_known(tmp_path: Path) -> None:
    known = inventory.read(written(tmp_path, GOOD))
    with pytest.raises(InputError, match="no device is called 'jetsn'; did you mean jetson"):
        known.targets(["jetsn"])
    with pytest.raises(InputError, match="write ssh://user@host"):
        known.targets(["pi@raspberrypi"])


def test_without_a_file_there_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    known = inventory.find()
    assert [target.name for target in known.targets(["here", "ssh://host"])] == ["here", "ssh://host"]
    for name in ("all", "pi"):
        with pytest.raises(InputError, match=r"devices\.yaml"):
            known.targets([name])
    with pytest.raises(InputError, match="cannot be read"):
        inventory.find(tmp_path / "missing.yaml")


def test_a_file_that_nobody_needs_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "pi: {")
    assert [target.name for target in inventory.targets(["here", "ssh://host"])] == ["here", "ssh://host"]
    for wanted, chosen in ((["pi"], None), (["all"], None), (["here"], "devices.yaml")):
        with pytest.raises(InputError, match="is no YAML"):
            inventory.targets(wanted, chosen)


def test_the_chosen_file_comes_first_then_the_folders_then_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(folder: Path, name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return written(folder, f"{name}: {{ssh: ssh://host}}")

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    named(tmp_path / "config" / "compress", "users")
    assert list(inventory.find().entries) == ["users"]
    named(tmp_path / "work", "folders")
    assert list(inventory.find().entries) == ["folders"]
    assert list(inventory.find(named(tmp_path / "chosen", "chosen")).entries) == ["chosen"]
