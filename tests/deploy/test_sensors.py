"""Sensors as Linux lays them out under /sys, in a folder made for the purpose, and as this machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import deploy
from deploy import machine
from deploy.sensors import CpuSensors, GpuSensors, device_of, sensors_of

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the layout is Linux's")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def core() -> int:
    return min(os.sched_getaffinity(0))


@pytest.fixture
def system(tmp_path: Path, core: int) -> Path:
    cpu = tmp_path / f"devices/system/cpu/cpu{core}"
    write(cpu / "cpufreq/scaling_cur_freq", "2400000\n")
    write(cpu / "thermal_throttle/core_throttle_count", "17\n")
    write(tmp_path / "devices/system/cpu/cpu4096/cpufreq/scaling_cur_freq", "9900000\n")
    write(tmp_path / "class/thermal/thermal_zone0/type", "acpitz\n")
    write(tmp_path / "class/thermal/thermal_zone0/temp", "99000\n")
    write(tmp_path / "class/thermal/thermal_zone1/type", "x86_pkg_temp\n")
    write(tmp_path / "class/thermal/thermal_zone1/temp", "51500\n")
    return tmp_path


def test_what_the_system_tells_is_read_in_its_units(system: Path) -> None:
    sensors = CpuSensors(system)
    assert sensors.why_not() is None
    sample = sensors.sample()
    assert (sample["clock"], sample["temperature"], sample["throttled"]) == (2400.0, 51.5, 0)
    assert sample["seconds"] >= 0


def test_throttling_is_counted_from_the_beginning(system: Path, core: int) -> None:
    sensors = CpuSensors(system)
    write(system / f"devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", "20\n")
    assert sensors.sample()["throttled"] == 3


def test_a_board_without_zones_is_asked_through_its_monitors(system: Path) -> None:
    (system / "class/thermal/thermal_zone1/type").write_text("battery\n")
    write(system / "class/hwmon/hwmon0/name", "nvme\n")
    write(system / "class/hwmon/hwmon0/temp1_input", "80000\n")
    write(system / "class/hwmon/hwmon1/name", "k10temp\n")
    write(system / "class/hwmon/hwmon1/temp1_input", "44000\n")
    assert CpuSensors(system).sample()["temperature"] == 44.0


def test_a_sensor_that_does_not_answer_is_no_figure(system: Path) -> None:
    (system / "class/thermal/thermal_zone1/temp").write_text("")
    sensors = CpuSensors(system)
    assert sensors.sample()["temperature"] is None
    assert sensors.why_not() is None


def test_a_system_without_any_says_so(tmp_path: Path) -> None:
    sensors = CpuSensors(tmp_path)
    assert "offers no clock" in (sensors.why_not() or "")
    assert {sensors.sample()[name] for name in ("clock", "temperature", "throttled")} == {None}


def test_a_gpu_tells_its_figures_or_why_not() -> None:
    sensors = GpuSensors()
    if sensors.why_not() is None:
        assert 0 < (sensors.sample()["temperature"] or 0) < 150
        assert sensors.name()
    else:
        assert "NVIDIA" in (sensors.why_not() or "")
        assert sensors.name() is None


def test_a_profile_has_samples_or_the_reason_why_not(net: Path) -> None:
    profile = deploy.profile(net, seconds=0.6)
    if profile.no_sensors is None:
        assert len(profile.sensors) >= 2
        seconds = [sample.seconds for sample in profile.sensors]
        assert seconds == sorted(seconds)
    else:
        assert profile.sensors == []
        assert profile.no_sensors


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "TensorrtExecutionProvider", "TensorRT for RTX"])
def test_what_runs_on_a_gpu_is_sensed_there(provider: str) -> None:
    assert isinstance(sensors_of(provider), GpuSensors)
    assert device_of(provider) == (GpuSensors().name() or machine.processor())


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "XnnpackExecutionProvider", "CPU"])
def test_what_runs_on_the_processor_is_sensed_there(provider: str) -> None:
    assert isinstance(sensors_of(provider), CpuSensors)
    assert device_of(provider) == machine.processor()
