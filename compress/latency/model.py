"""A calibrated latency model: a file of tables, and what it says of a network's every choice of widths and densities.

End to end latency is the sum over layers of a table of the layer's kind, by trilinear interpolation in output channels,
input channels and density (Zhao et al. 2021, JCW); what else a runtime does (element-wise operators, pooling,
reordering) is part of the layers' times, since whole networks were measured.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from compress.axes.analysis import Analysis
from compress.errors import InputError
from compress.latency import record
from compress.latency.bound import BoundLatency
from compress.latency.layers import Layers
from compress.latency.record import HeldOut, Key, KindRecord, ModelRecord, Network

_SHOWN = 3


class LatencyModel:
    """What calibrating one runtime on one device found. See ``compress calibrate``."""

    def __init__(self, found: ModelRecord) -> None:
        self._record = found

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LatencyModel:
        """Read a ``.latency.json`` file.

        Raises:
            InputError: it is missing, damaged, or of another version.
        """
        return cls(record.read(path))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the model atomically. Raises :class:`InputError` where that is impossible."""
        record.write(self._record, path, overwrite=overwrite)

    @property
    def key(self) -> Key:
        """For what it holds: device, runtime, version, threads, precision, batch, pattern."""
        return self._record.key

    @property
    def step(self) -> int:
        """Widths were measured in multiples of so many channels; between them runtimes may be slower than told."""
        return self._record.step

    @property
    def held_out(self) -> HeldOut:
        """The error on configurations that were not fitted to, of the network that is told worst."""
        return max((network.held_out for network in self.networks), key=lambda one: one.error)

    @property
    def networks(self) -> Sequence[Network]:
        """The networks that were measured."""
        return self._record.networks

    @property
    def kinds(self) -> Mapping[str, KindRecord]:
        """The tables, by kind of layer."""
        return self._record.kinds

    @property
    def content(self) -> ModelRecord:
        """All that is written down."""
        return self._record

    def require(
        self,
        *,
        runtime: str | None = None,
        threads: int | None = None,
        batch: int | None = None,
        device: str | None = None,
        version: str | None = None,
        precision: str | None = None,
        where: str | None = None,
    ) -> None:
        """Refuse to be used for anything else than it was calibrated for; what is not given is not checked.

        Raises:
            InputError: naming what differs.
        """
        wanted = {
            "runtime": runtime,
            "threads": threads,
            "batch": batch,
            "device": device,
            "version": version,
            "precision": precision,
        }
        for name, value in wanted.items():
            held = getattr(self.key, name)
            if value is not None and value != held:
                raise InputError(
                    f"the latency model was calibrated for {name} {held}, not {value}",
                    where=where,
                    hint="calibrate for what it is to be used for: compress calibrate --help",
                )

    def bind(self, analysis: Analysis) -> BoundLatency:
        """Return what the model says of one network.

        Args:
            analysis: of the dense network.

        Raises:
            InputError: the network has layers of kinds that were not calibrated; they are named.
        """
        layers = Layers(analysis, sparse=self.key.pattern is not None)
        missing = dict.fromkeys(layer.kind for layer in layers.layers if layer.kind not in self.kinds)
        if missing:
            some = "; ".join(list(missing)[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise InputError(
                f"the latency model was not calibrated for layers of this network: {some}{more}",
                hint="compress calibrate --update FILE MODEL adds them",
            )
        if not layers.layers:
            raise InputError("the network has no convolution or linear layer whose time could be told")
        return BoundLatency(analysis, layers, self._record)
