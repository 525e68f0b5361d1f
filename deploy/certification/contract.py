"""What every runtime has to do, as tests. Correctness is judged against float64, never against another runtime."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from compress.errors import InputError
from deploy import runtimes
from deploy.certification.networks import NETWORKS, Network, convolutional, two_sided, unsupported
from deploy.certification.telling import TellingContract
from deploy.runtimes.base import Array, Runtime, Session

SIZES = [(name, sizes) for name, (_, choices) in NETWORKS.items() for sizes in choices]
IMAGE = {"batch": 2, "height": 24, "width": 24}


@functools.cache
def network(name: str) -> Network:
    """Return the network called ``name``, made once."""
    return NETWORKS[name][0]()


class RuntimeContract(TellingContract):
    """Subclass it as ``class TestMine`` and set :attr:`name`; or override the fixture ``runtime``."""

    name: ClassVar[str]
    tolerance: ClassVar[float] = 1e-4
    """Largest error against float64, relative to the output's largest magnitude. Half precision is off by 1e-3 or more:
    a runtime that computes float32 files in it by itself measures another network than the file's."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        return runtimes.get(self.name)

    def file_for(self, runtime: Runtime, onnx_file: Path) -> Path:
        """Return the file for ``runtime`` that does what ``onnx_file`` does; to override where it reads no ONNX."""
        return onnx_file

    def load(
        self, runtime: Runtime, made: Network, folder: Path, *, threads: int = 1, name: str = "network"
    ) -> Session:
        """Load a network, written to ``folder``."""
        return runtime.load(self.file_for(runtime, made.save(folder / f"{name}.onnx")), threads=threads)

    def assert_close(self, found: Sequence[Array], expected: Sequence[Array]) -> None:
        """Compare all outputs with float64 ones."""
        assert len(found) == len(expected)
        for got, wanted in zip(found, expected):  # noqa: B905 - Python 3.9
            assert isinstance(got, np.ndarray)
            assert got.shape == wanted.shape
            assert np.abs(got - wanted).max() <= self.tolerance * np.abs(wanted).max()

    def test_it_is_known_by_its_name_and_says_that_it_is_here(self, runtime: Runtime) -> None:
        assert type(runtimes.get(runtime.name)) is type(runtime)
        assert runtime.why_not() is None
        assert runtimes.names()[runtime.name] is None
        assert runtime.suffixes
        assert all(suffix.startswith(".") for suffix in runtime.suffixes)
        runtime.prepare()

    @pytest.mark.parametrize("called", NETWORKS)
    def test_it_declares_the_inputs_of_the_file(self, runtime: Runtime, called: str, tmp_path: Path) -> None:
        made = network(called)
        session = self.load(runtime, made, tmp_path)
        assert {spec.name: spec.dtype for spec in session.inputs} == {
            name: kind for name, (kind, _) in made.inputs.items()
        }
        for spec in session.inputs:
            for size, wanted in zip(spec.shape, made.inputs[spec.name][1]):  # noqa: B905 - Python 3.9
                assert size in ((wanted, "") if isinstance(wanted, str) else (wanted,))
            assert len(spec.shape) == len(made.inputs[spec.name][1])
        assert session.path.suffix in runtime.suffixes

    @pytest.mark.parametrize(("called", "sizes"), SIZES, ids=lambda value: str(value))
    def test_it_computes_what_the_file_says(
        self, runtime: Runtime, called: str, sizes: Mapping[str, int], tmp_path: Path
    ) -> None:
        made = network(called)
        session = self.load(runtime, made, tmp_path)
        feeds = made.feeds(sizes, seed=1)
        self.assert_close(session.run(feeds), made.expected(feeds))

    def test_sizes_may_change_from_run_to_run(self, runtime: Runtime, tmp_path: Path) -> None:
        made = network("convolutional")
        session = self.load(runtime, made, tmp_path)
        for sizes in (*NETWORKS["convolutional"][1], IMAGE):
            feeds = made.feeds(sizes)
            self.assert_close(session.run(feeds), made.expected(feeds))

    def test_outputs_stay_what_they_were_and_inputs_too(self, runtime: Runtime, tmp_path: Path) -> None:
        made = network("convolutional")
        session = self.load(runtime, made, tmp_path)
        feeds = made.feeds(IMAGE, seed=2)
        before = {name: array.copy() for name, array in feeds.items()}
        outputs = session.run(feeds)
        kept = [output.copy() for output in outputs]
        session.run(made.feeds(IMAGE, seed=3))
        for output, copy in zip(outputs, kept):  # noqa: B905 - Python 3.9
            np.testing.assert_array_equal(output, copy)
        for name, array in feeds.items():
            np.testing.assert_array_equal(array, before[name])

    def test_inputs_need_not_be_contiguous(self, runtime: Runtime, tmp_path: Path) -> None:
        made = network("convolutional")
        session = self.load(runtime, made, tmp_path)
        (image,) = made.feeds(IMAGE, seed=4).values()
        turned = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        assert not turned.flags["C_CONTIGUOUS"]
        self.assert_close(session.run({"image": turned}), made.expected({"image": image}))

    def test_two_sessions_do_not_disturb_each_other(self, runtime: Runtime, tmp_path: Path) -> None:
        nets = [convolutional(8), convolutional(16)]
        sessions = [self.load(runtime, made, tmp_path, name=f"network{index}") for index, made in enumerate(nets)]
        feeds = [made.feeds(IMAGE, seed=index) for index, made in enumerate(nets)]
        for _ in range(3):
            for made, session, given in zip(nets, sessions, feeds):  # noqa: B905 - Python 3.9
                self.assert_close(session.run(given), made.expected(given))

    @pytest.mark.parametrize(
        ("what", "shape", "dtype"),
        [
            ("channels", (1, 5, 24, 24), np.float32),
            ("rank", (3, 24, 24), np.float32),
            ("type", (1, 3, 24, 24), np.float64),
            ("type", (1, 3, 24, 24), np.int64),
        ],
    )
    def test_wrong_inputs_are_refused_and_right_ones_still_run(
        self, runtime: Runtime, what: str, shape: tuple[int, ...], dtype: type, tmp_path: Path
    ) -> None:
        made = network("convolutional")
        session = self.load(runtime, made, tmp_path)
        with pytest.raises(InputError) as raised:
            session.run({"image": np.ones(shape, dtype)})
        assert_one_line(raised.value, session.path)
        feeds = made.feeds(IMAGE)
        self.assert_close(session.run(feeds), made.expected(feeds))

    @pytest.mark.parametrize("kept", [(), ("scale",), ("indices",)])
    def test_missing_inputs_are_refused(self, runtime: Runtime, kept: tuple[str, ...], tmp_path: Path) -> None:
        made = two_sided()
        session = self.load(runtime, made, tmp_path)
        feeds = made.feeds({"batch": 2})
        session.run(feeds)
        with pytest.raises(InputError) as raised:
            session.run({name: feeds[name] for name in kept})
        assert_one_line(raised.value, session.path)

    def test_an_unknown_input_is_refused(self, runtime: Runtime, tmp_path: Path) -> None:
        made = network("convolutional")
        session = self.load(runtime, made, tmp_path)
        with pytest.raises(InputError, match="extra"):
            session.run({**made.feeds(IMAGE), "extra": np.ones(3, np.float32)})

    @pytest.mark.parametrize("damage", ["truncated", "noise", "empty"])
    def test_a_damaged_file_is_refused(self, runtime: Runtime, damage: str, tmp_path: Path) -> None:
        whole = self.file_for(runtime, network("convolutional").save(tmp_path / "whole.onnx"))
        data = whole.read_bytes()
        path = tmp_path / f"damaged{whole.suffix}"
        noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
        path.write_bytes({"truncated": data[: len(data) // 2], "noise": noise, "empty": b""}[damage])
        with pytest.raises(InputError) as raised:
            runtime.load(path, threads=1)
        assert_one_line(raised.value, path)

    def test_what_is_no_file_for_it_is_refused(self, runtime: Runtime, tmp_path: Path) -> None:
        whole = self.file_for(runtime, network("convolutional").save(tmp_path / "whole.onnx"))
        other = tmp_path / "whole.txt"
        other.write_bytes(whole.read_bytes())
        folder = tmp_path / f"folder{whole.suffix}"
        folder.mkdir()
        for path in (other, folder, tmp_path / f"missing{whole.suffix}"):
            with pytest.raises(InputError) as raised:
                runtime.load(path, threads=1)
            assert_one_line(raised.value, path)

    def test_an_operator_that_it_lacks_is_named(self, runtime: Runtime, tmp_path: Path) -> None:
        if ".onnx" not in runtime.suffixes:
            pytest.skip("it reads no ONNX files")
        path = unsupported().save(tmp_path / "odd.onnx")
        with pytest.raises(InputError, match="Nonsense") as raised:
            runtime.load(path, threads=1)
        assert_one_line(raised.value, path)

    @pytest.mark.parametrize("threads", [0, -1])
    def test_fewer_threads_than_one_are_refused(self, runtime: Runtime, threads: int, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="threads"):
            self.load(runtime, network("convolutional"), tmp_path, threads=threads)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_no_more_threads_compute_than_were_asked_for(self, runtime: Runtime, threads: int, tmp_path: Path) -> None:
        made = convolutional(64)
        session = self.load(runtime, made, tmp_path, threads=threads)
        assert session.describe().threads == threads
        feeds = made.feeds({"batch": 4, "height": 64, "width": 64})
        session.run(feeds)
        time.sleep(0.2)  # until what ran before, here or in another session, has come to rest
        start, used = time.perf_counter(), time.process_time()
        while time.perf_counter() - start < 0.5:
            session.run(feeds)
        assert time.process_time() - used <= (threads + 0.3) * (time.perf_counter() - start)


def assert_one_line(error: InputError, path: Path) -> None:
    """The message names the file, and can be shown on one line."""
    assert path.name in str(error)
    assert "\n" not in str(error)
    assert error.what.strip()
