"""A latency model in the form that calibrating gives, with times made up: so much for each multiply-accumulate."""

from __future__ import annotations

from compress import Program
from compress.axes.analysis import analyse
from compress.latency import HeldOut, Key, LatencyModel
from compress.latency.layers import Layers
from compress.latency.record import KindRecord, ModelRecord, Network


def made_up(program: Program, runtime: str = "onnxruntime-cpu", threads: int = 1) -> LatencyModel:
    """Tables for the layers of ``program``, linear in each width."""
    analysis = analyse(program)
    layers = Layers(analysis)
    full = layers.widths(analysis.sizes.full[None])[0]
    largest: dict[str, tuple[float, float]] = {}
    for layer, (out, into) in zip(layers.layers, full.tolist(), strict=True):
        known = largest.get(layer.kind, (1.0, 1.0))
        largest[layer.kind] = max(known[0], out), max(known[1], into)
    kinds = {}
    for kind, (out, into) in largest.items():
        axes = sorted({1.0, out}), sorted({1.0, into}), [1.0]
        times = [1e-4 * one * other for one in axes[0] for other in axes[1]]
        kinds[kind] = KindRecord(axes=axes, milliseconds=times, samples=[(out, into, 1.0, 1e-4 * out * into, 0.03)])
    told = HeldOut(error=0.02, spearman=0.99, configurations=8)
    network = Network(
        name="made up", fingerprint="none", milliseconds=1.0, drift=0.01, configurations=8, held_out=told
    )  # fmt: skip
    key = Key(device="a processor", runtime=runtime, version="1.0", threads=threads)
    return LatencyModel(ModelRecord(version=1, key=key, kinds=kinds, networks=[network]))
