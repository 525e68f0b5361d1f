"""The operators on another machine under an emulator, and with every access to memory and every sum checked."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compress import operators
from exporters.sparse import compiler, library
from tests.exporters.sparse import hosting
from tests.exporters.sparse.building import Case, random_case, session
from tests.exporters.sparse.test_operators import CLOSE, GOOD, PRODUCT, WRONG

pytestmark = pytest.mark.slow

Asked = tuple[Case, Mapping[str, Any]]


def cases(count: int, seed: int) -> list[Asked]:
    generator = np.random.default_rng(seed)
    return [(random_case(generator), {}) for _ in range(count)]


def check(asked: list[Asked], answers: list[Any]) -> None:
    for number, ((case, _), answer) in enumerate(zip(asked, answers, strict=True)):
        assert isinstance(answer, np.ndarray), (case, answer)
        expected = session(case.dense()).run(None, case.feed())[0]
        assert answer.shape == expected.shape, (number, case)
        error = np.max(np.abs(answer - expected), initial=0) / (np.max(np.abs(expected), initial=0) + 1e-3)
        assert error < CLOSE, (number, case, error)


@pytest.mark.timeout(1800)  # the first time, the compiler builds its own libraries for that machine
def test_aarch64_computes_the_same(tmp_path: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("the package ziglang is not installed, which compiles for aarch64")
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None:
        pytest.skip("qemu-user is not installed, which runs programs for aarch64 here")
    command = (sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-musl", "-fno-sanitize=undefined")
    program = hosting.build(tmp_path / "host", command, "linux-aarch64", ["-O3", "-static"])
    asked = cases(300, seed=11)
    check(asked, hosting.run([emulator, str(program)], asked, tmp_path))


def test_the_library_for_aarch64_is_one(tmp_path: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("the package ziglang is not installed, which compiles for aarch64")
    built = library.find("linux-aarch64").read_bytes()
    assert built[:4] == b"\x7fELF"
    assert built[18:20] == b"\xb7\x00"  # ELF's number for AArch64
    assert b"RegisterCustomOps" in built


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operators with AddressSanitizer and UndefinedBehaviorSanitizer in them."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed, whose sanitizers are used")
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    probe = subprocess.run(
        ["g++", *flags, "-x", "c++", "-", "-o", "/dev/null"], input="int main() {}", text=True, capture_output=True
    )
    if probe.returncode:
        pytest.skip(f"g++ has no sanitizers here ({probe.stderr.splitlines()[0]})")
    folder = tmp_path_factory.mktemp("checked")
    return hosting.build(folder / "host", ["g++"], operators.host(), flags)


@pytest.mark.parametrize("isa", compiler.KERNELS.get(operators.host(), {}))
def test_nothing_is_read_or_written_beyond_its_bounds(isa: str, checked: Path, tmp_path: Path) -> None:
    asked = cases(300, seed=21)
    check(asked, hosting.run([str(checked)], asked, tmp_path, isa))


def test_wrong_models_do_no_harm(checked: Path, tmp_path: Path) -> None:
    asked: list[Asked] = [(GOOD, changes) for changes in WRONG]
    asked += [(GOOD, {name: None}) for name in GOOD.attributes() if name in ("channels", "features", "kernel_h")]
    asked += [(PRODUCT, {"columns": 2**33}), (PRODUCT, {"features": 1}), (PRODUCT, {"columns": None})]
    for answer in hosting.run([str(checked)], asked, tmp_path):
        assert isinstance(answer, str)
        assert answer.startswith("Sparse")


def test_wrong_weights_and_inputs_do_no_harm(checked: Path, tmp_path: Path) -> None:
    class Damaged(Case):
        damage: Mapping[str, Any] = {}

        def constants(self) -> dict[str, Any]:
            return {**super().constants(), **self.damage}

    asked: list[Asked] = []
    generator = np.random.default_rng(0)
    for _ in range(200):
        case = random_case(generator)
        damaged = Damaged(**vars(case))
        found = case.constants()
        mask = found["mask"].copy()
        if mask.size:
            mask[generator.integers(mask.size)] ^= 1 << int(generator.integers(8))
        choices = [
            {"mask": mask},
            {"mask": mask[:-1]},
            {"values": found["values"][:-1]},
            {"values": found["values"][:0]},
        ]
        damaged.damage = choices[int(generator.integers(len(choices)))]
        asked.append((damaged, {}))
    answers = hosting.run([str(checked)], asked, tmp_path)
    assert sum(isinstance(answer, str) for answer in answers) > 100
