"""Graphs as JSON: nothing but operators, and back again. (Hostile JSON inside a file is in ``test_storing``.)"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx

from compress import Program
from compress.errors import CheckpointError
from compress.graph_json import graph_from_json, graph_to_json

INPUTS: dict[str, tuple[tuple[int, ...], torch.dtype]] = {"x": ((2, 3), torch.float32)}


@pytest.mark.parametrize("name", ["mobilenet_v3", "googlenet", "resnet20_a"])
def test_graphs_of_real_networks_come_back_the_same(family: Callable[[str], Program], name: str) -> None:
    program = family(name)
    for graph in program.graphs.values():
        document = json.loads(json.dumps(graph_to_json(graph)))
        again = graph_from_json(document, program.input_shapes(batch=2), where="file")
        assert graph_to_json(again) == document
        assert [node.target for node in again.nodes] == [node.target for node in graph.nodes]


def test_every_kind_of_argument_comes_back() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    x.meta["input"] = INPUTS["x"]
    arguments = (x, [1, None, True, "text"], 0.5, math.inf, torch.float16, torch.device("cpu"), torch.strided)
    y = graph.call_function(torch.ops.aten.relu.default, arguments, {"memory_format": torch.channels_last})
    graph.output((y,))
    again = graph_from_json(json.loads(json.dumps(graph_to_json(graph))), INPUTS, where="file")
    node = next(node for node in again.nodes if node.op == "call_function")
    assert list(node.args[1:]) == list(arguments[1:])
    assert node.kwargs == {"memory_format": torch.channels_last}
    assert isinstance(next(n for n in again.nodes if n.op == "output").args[0], tuple)


def test_what_json_cannot_say_is_not_written() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output((graph.call_function(torch.ops.aten.relu.default, (x, range(2))),))
    with pytest.raises(CheckpointError, match="range cannot be stored"):
        graph_to_json(graph)
    other = fx.Graph()
    other.output((other.call_function(print, (other.placeholder("x"),)),))
    with pytest.raises(CheckpointError, match="cannot be stored"):
        graph_to_json(other)


@pytest.mark.parametrize("document", [None, 3, [3], [{}], [{"op": "output"}], {"a": 1}, "text"])
def test_documents_that_are_no_graph_are_refused(document: Any) -> None:
    with pytest.raises(CheckpointError, match="file: its training graph is damaged"):
        graph_from_json(document, INPUTS, where="file")
