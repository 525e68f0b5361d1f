"""Recurrent layers: the hidden width is one for all gates, layers and directions, since the state holds them all."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from compress.axes.labels import Array, fixed
from compress.axes.trace import Axes, Trace, aten, rule


@rule(*aten("lstm.input gru.input rnn_tanh.input rnn_relu.input"))
def recurrent(trace: Trace, node: fx.Node) -> Any:
    """Weights are (gates x hidden, input) and (gates x hidden, hidden) for each layer and direction.

    A hidden unit whose weights are zero stays zero at every step, so that removal equals masking.
    """
    source, state, weights, biased, layers = node.args[:5]
    ways = 2 if node.args[7] else 1
    per_way = 4 if biased else 2
    assert isinstance(weights, (list, tuple))
    assert isinstance(layers, int)
    if len(weights) != layers * ways * per_way:
        return trace.refuse(node, "recurrent layer with a projection")
    x, place = trace.axes(source), trace.place(node)
    hidden = trace.labels.fresh(trace.shape(weights[1])[1])
    features = x[-1]
    for layer in range(layers):
        for way in range(ways):
            first = (layer * ways + way) * per_way
            mine = [trace.axes(item) for item in weights[first : first + per_way]]
            _tie(trace, mine, features, hidden, place)
        features = np.concatenate([hidden] * ways)
    states = state if isinstance(state, (list, tuple)) else [state]
    for item in states:
        trace.labels.tie(hidden, trace.axes(item)[-1], f"state that never changes ({place})")
    shapes = trace.shapes[node]
    carried = [[*(fixed(size) for size in shape[:-1]), hidden] for shape in shapes[1:]]
    return [[*x[:-1], features], *carried]


def _tie(trace: Trace, weights: list[Axes], features: Array, hidden: Array, place: str) -> None:
    gates = weights[0][0].size // hidden.size
    rows = trace.labels.product([fixed(gates), hidden])
    trace.labels.tie(features, weights[0][1], f"input features that never change ({place})")
    trace.labels.tie(hidden, weights[1][1], f"hidden units that never change ({place})")
    for weight in weights:
        trace.labels.tie(rows, weight[0], f"gates of units that never change ({place})")
