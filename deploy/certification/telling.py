"""What a runtime has to tell about itself and about what it made of a file."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from compress.errors import InputError, UnavailableError
from deploy.certification.networks import Network, convolutional, transformer
from deploy.runtimes import onnx_graph
from deploy.runtimes.base import Array, OperatorTiming, Runtime, Session

LARGE = {"batch": 4, "height": 96, "width": 96}
ATTEMPTS = 5  # the machine's other work can disturb one of two measurements, hardly every time
CASES = [(convolutional, (64,), LARGE), (transformer, (128, 4), {"batch": 4, "length": 64})]


class TellingContract:
    """The part of the contract that is about descriptions, times of operators, and placement."""

    untold: ClassVar[frozenset[str]] = frozenset()
    """What the runtime does not tell, and need not: ``times`` of operators, their ``names``, ``placement``. What is not
    listed here has to be told: a runtime that stops telling it fails."""

    def load(
        self, runtime: Runtime, made: Network, folder: Path, *, threads: int = 1, name: str = "network"
    ) -> Session:
        """Load a network, written to ``folder``."""
        raise NotImplementedError("RuntimeContract says how, and is what is subclassed")

    def timed(self, session: Session, feeds: Mapping[str, Array], *, runs: int = 10) -> Sequence[OperatorTiming]:
        """Return the operators; a runtime that does not tell them has to say why, and the test is skipped."""
        if "times" in self.untold:
            with pytest.raises(UnavailableError) as raised:
                session.operator_times(feeds, runs=runs)
            pytest.skip(said(raised.value))
        found = session.operator_times(feeds, runs=runs)
        assert found
        return found

    def test_it_describes_itself_completely(self, runtime: Runtime, tmp_path: Path) -> None:
        sessions = [
            self.load(runtime, convolutional(width), tmp_path, threads=threads, name=f"of{width}")
            for width, threads in ((8, 1), (16, 1), (8, 2))
        ]
        first, other, wider = (session.describe() for session in sessions)
        assert first.runtime == runtime.name
        assert first.version[:1].isdigit()
        assert first.provider
        assert (first.threads, wider.threads) == (1, 2)
        assert json.loads(json.dumps(dict(first.settings))) == dict(first.settings)
        assert all(isinstance(value, str) for value in first.settings.values())
        # Two files under the same conditions are comparable: nothing in it may depend on the file.
        assert other == first

    @pytest.mark.parametrize(("make", "arguments", "sizes"), CASES, ids=["convolutional", "transformer"])
    def test_times_of_operators_add_up_to_a_run(
        self, runtime: Runtime, make: type, arguments: tuple[int, ...], sizes: Mapping[str, int], tmp_path: Path
    ) -> None:
        made = make(*arguments)
        session = self.load(runtime, made, tmp_path)
        feeds = made.feeds(sizes)
        found = self.timed(session, feeds)
        assert all(operator.milliseconds > 0 for operator in found)
        assert all(operator.name and operator.kind for operator in found)
        tried = []
        for _ in range(ATTEMPTS):
            total = sum(operator.milliseconds for operator in self.timed(session, feeds))
            shortest, usual = run_times(session, feeds)
            tried.append((shortest, total, usual))
            if 0.5 * shortest <= total <= 2.0 * usual:
                return
        pytest.fail(f"shortest run, sum of operators, median run in ms: {tried}")

    @pytest.mark.parametrize(("make", "arguments", "sizes"), CASES, ids=["convolutional", "transformer"])
    def test_operators_are_the_files_nodes_and_the_checkpoints_layers(
        self, runtime: Runtime, make: type, arguments: tuple[int, ...], sizes: Mapping[str, int], tmp_path: Path
    ) -> None:
        made = make(*arguments)
        path = made.save(tmp_path / "named.onnx")
        session = self.load(runtime, made, tmp_path)
        found = self.timed(session, made.feeds(sizes), runs=3)
        if "names" in self.untold:
            assert not any(operator.layers for operator in found)
            pytest.skip("its operators are its own, without names")
        known = {node.name for node in onnx_graph.read(path).nodes}
        assert {name for operator in found for name in operator.nodes} <= known
        named = {layer for operator in found for layer in operator.layers}
        heavy = [layer for layer in made.layers if "norm" not in layer]
        # What a normalisation is made of may be replaced before the runtime takes names down.
        assert set(heavy) <= named <= set(made.layers)
        assert not [layer for layer, count in owners(found, heavy).items() if count > 2]

    def test_the_times_of_wrong_inputs_are_refused(self, runtime: Runtime, tmp_path: Path) -> None:
        made = convolutional(8)
        session = self.load(runtime, made, tmp_path)
        self.timed(session, made.feeds(LARGE), runs=1)
        for feeds, runs in (({}, 3), (made.feeds(LARGE), 0)):
            with pytest.raises(InputError):
                session.operator_times(feeds, runs=runs)

    @pytest.mark.parametrize(("make", "arguments", "sizes"), CASES, ids=["convolutional", "transformer"])
    def test_every_node_is_in_one_place(
        self, runtime: Runtime, make: type, arguments: tuple[int, ...], sizes: Mapping[str, int], tmp_path: Path
    ) -> None:
        made = make(*arguments)
        graph = onnx_graph.read(made.save(tmp_path / "named.onnx"))
        session = self.load(runtime, made, tmp_path)
        if "placement" in self.untold:
            with pytest.raises(UnavailableError) as raised:
                session.placement()
            pytest.skip(said(raised.value))
        placement = session.placement()
        placed = Counter(name for nodes in placement.values() for name in nodes)
        assert placed.total() > 0
        assert max(placed.values()) == 1
        weighty = {node.name for node in graph.nodes if node.operator in ("Conv", "Gemm", "MatMul")}
        assert weighty <= set(placed)


def said(error: UnavailableError) -> str:
    """Return the reason, which there has to be."""
    assert error.what.strip()
    return error.what


def run_times(session: Session, feeds: Mapping[str, Array], *, runs: int = 20) -> tuple[float, float]:
    """Return the shortest and the median time of a run in milliseconds.

    A machine with other work interrupts whole runs more often than single operators, which are shorter.
    """
    times = []
    for _ in range(runs + 3):
        start = time.perf_counter()
        session.run(feeds)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times[3:]), statistics.median(times[3:])


def owners(found: Sequence[OperatorTiming], layers: Sequence[str]) -> Counter[str]:
    """Return in how many operators each of ``layers`` is."""
    return Counter(layer for operator in found for layer in operator.layers if layer in layers)
