"""Measure configurations beside the dense file, and take their time apart into the layers of the checkpoint.

All files of a round are interleaved in one process on the device; what counts is the ratio of each to the dense file in
the same rounds, so that the device's moods cancel. Operators are timed in a run of their own, of which only the shares
count. An operator belongs to the layer whose weight it reads; one without a weight to the first layer that reads what
it gives, or where none does to the layer that it follows; one that the runtime put in to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import CompressError, InputError, UnavailableError

if TYPE_CHECKING:
    from deploy.records import Failure, OperatorTime, Profile
    from deploy.runtimes.onnx_graph import Graph
    from deploy.timing import Progress


@dataclass(frozen=True)
class Conditions:
    """How files are run: the arguments of the same names of :func:`deploy.measure`."""

    runtime: str = "onnxruntime-cpu"
    device: str = "here"
    threads: int = 1
    batch: int = 1
    seconds: float = 0.6
    timeout: float = 120.0
    devices_file: Path | None = None


@dataclass(frozen=True)
class Ratio:
    """A file's time over the dense file's, the noise of that, and the shares of the layers in its time by name."""

    ratio: float
    noise: float
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """What one round told: the dense file's milliseconds and profile, and for each other file a ratio or a reason."""

    dense: Profile
    found: Sequence[Ratio | str]

    @property
    def milliseconds(self) -> float:
        """Of the dense file."""
        return self.dense.p50.value


class Bench:
    """Measures on one device.

    Args:
        layers: names of the checkpoint's layers.

    Raises:
        InputError: the device has no such name.
    """

    def __init__(self, conditions: Conditions, layers: Sequence[str]) -> None:
        from deploy.devices import inventory

        (target,) = inventory.targets([conditions.device], conditions.devices_file)
        self._conditions, self._device, self._layers = conditions, target.device, frozenset(layers)

    def measure(self, dense: Path, files: Sequence[Path], *, apart: bool, seed: int, progress: Progress) -> Round:
        """Measure ``files`` beside ``dense``; with ``apart`` their layers, too.

        Raises:
            InputError: the runtime refuses the dense file, or does not tell the times of operators.
            UnavailableError: the runtime or the device is not available.
        """
        import deploy
        from deploy.measuring import labels

        under = self._conditions
        measured = deploy.measure(
            [dense, *files],
            runtimes=[under.runtime],
            threads=[under.threads],
            batches=[under.batch],
            seconds=under.seconds,
            seed=seed,
            operators=apart,
            timeout=under.timeout,
            device=self._device,
            progress=progress,
        )
        names = labels([str(path) for path in (dense, *files)])
        profiles = {profile.file.name: profile for profile in measured.profiles}
        failures = {failure.file: failure for failure in measured.failures}
        if names[0] not in profiles:
            raise _error(failures.get(names[0]), under.runtime)
        base = profiles[names[0]]
        found: list[Ratio | str] = []
        for path, name in zip(files, names[1:], strict=True):
            profile = profiles.get(name)
            if profile is None:
                found.append(failures[name].reason if name in failures else "was not measured")
            else:
                found.append(self._ratio(base, profile, path if apart else None))
        return Round(base, found)

    def _ratio(self, base: Profile, profile: Profile, apart: Path | None) -> Ratio:
        from compress.latency.judging import ratio_of

        count = min(len(base.samples), len(profile.samples))
        ratio, noise = ratio_of(base.samples[:count], profile.samples[:count])
        shares: dict[str, float] = {}
        if apart is not None:
            if profile.no_operators is not None:
                raise UnavailableError(
                    f"{self._conditions.runtime} cannot be calibrated: {profile.no_operators}",
                    hint="calibration needs the times of operators; compress profile --operators shows who tells them",
                )
            shares = by_layer(profile.operators, apart, self._layers)
        return Ratio(ratio, noise, shares)


def by_layer(operators: Sequence[OperatorTime], file: Path, layers: frozenset[str]) -> dict[str, float]:
    """Return the share of each layer in the sum of the operators' times; they sum to 1.

    Raises:
        InputError: no operator could be put down to a layer.
    """
    from deploy.runtimes import onnx_graph

    homes = _homes(onnx_graph.read(file), layers)
    took: dict[str, float] = {}
    waiting = 0.0
    last: str | None = None
    for operator in operators:
        own = [layer for layer in operator.layers if layer in layers]
        known = [homes[name] for name in operator.nodes if name in homes]
        shared = list(dict.fromkeys(own)) or known[:1]  # what fuses several layers counts for each alike
        if not shared:
            waiting += operator.milliseconds
            continue
        for home in shared:
            took[home] = took.get(home, 0.0) + (operator.milliseconds + waiting) / len(shared)
        waiting, last = 0.0, shared[-1]
    if last is None:
        raise InputError("no operator of the runtime could be put down to a layer", where=file.name)
    took[last] += waiting
    whole = sum(took.values())
    return {name: value / whole for name, value in took.items()}


def _homes(graph: Graph, layers: frozenset[str]) -> dict[str, str]:
    """The layer that each node of the file belongs to, by the node's name."""
    own = {
        node.name: node.layer
        for node in graph.nodes
        if node.layer in layers and any(value in graph.weights for value in node.reads)
    }
    maker = {value: at for at, node in enumerate(graph.nodes) for value in node.writes}
    reader: dict[int, str] = {}
    for at in reversed(range(len(graph.nodes))):
        node = graph.nodes[at]
        home = own.get(node.name) or reader.get(at)
        if home is not None:
            for value in node.reads:
                if value in maker:
                    reader[maker[value]] = home  # of several readers the first in the file is the last seen here
    follows: dict[int, str] = {}
    for at, node in enumerate(graph.nodes):
        before = [maker[value] for value in node.reads if value in maker]
        behind = [own.get(graph.nodes[one].name) or follows.get(one) for one in before]
        if any(behind):
            follows[at] = next(home for home in reversed(behind) if home)
    found = {}
    for at, node in enumerate(graph.nodes):
        home = own.get(node.name) or reader.get(at) or follows.get(at)
        if home is not None:
            found[node.name] = home
    return found


def _error(failure: Failure | None, runtime: str) -> CompressError:
    if failure is None:
        return InputError(f"{runtime} did not measure the dense network")
    kind = UnavailableError if failure.kind in ("unavailable", "disconnected") else InputError
    return kind(f"{runtime} cannot run the dense network: {failure.reason}", hint=failure.hint)
