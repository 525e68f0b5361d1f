"""A captured network is the eager one: same values, same gradients, same names, in both modes."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compress
from compress import Program
from compress.capturing import from_exported
from compress.errors import CaptureError
from tests.compress.networks import Classifier, Heads, Segmenter, Tied, TwoInputs, captured, image, warmed

_aten = torch.ops.aten


def targets(program: Program, mode: bool) -> list[str]:
    return [str(node.target) for node in program.graphs[mode].nodes if node.op == "call_function"]


@pytest.mark.parametrize("build", [Classifier, Tied])
def test_training_is_bit_identical_to_the_eager_module(build: type[nn.Module]) -> None:
    eager = warmed(build)
    program = captured(eager)
    graph = program.module(training=True)
    pairs = [
        torch.optim.SGD([p for p in module.parameters() if p.requires_grad], 0.1, momentum=0.9)
        for module in (eager, graph)
    ]
    for step in range(3):
        losses = []
        for module, optimizer in zip((eager.train(), graph), pairs, strict=True):
            torch.manual_seed(step)
            loss = module(image(4, seed=step)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        assert torch.equal(losses[0], losses[1])
    state = program.state_dict()
    assert set(state) == set(eager.state_dict())
    for name, value in eager.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert torch.equal(eager.eval()(image()), program.module()(image()))


def test_the_captured_module_is_not_changed() -> None:
    module = warmed(Classifier).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    program = captured(module)
    program.module(training=True)(image())
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_any_batch_size_runs_and_an_example_of_one_is_enough() -> None:
    module = warmed(Classifier).eval()
    program = compress.capture(module, (image(1),))
    for batch in (1, 2, 7):
        torch.testing.assert_close(program.module()(image(batch)), module(image(batch)))
    assert program.inputs[0] == ("image", (1, 3, 16, 16), "float32")


def test_named_tuples_become_plain_tuples_and_auxiliary_heads_train() -> None:
    program = captured(Heads())
    assert isinstance(program.module()(image()), torch.Tensor)
    result = program.module(training=True)(image())
    assert type(result) is tuple
    assert [value.shape for value in result] == [(2, 5), (2, 5)]
    assert program.output_names == ("output",)
    result[1].sum().backward()
    assert program.tensors["extra.weight"].grad is not None


def test_dictionaries_keep_their_names_and_types() -> None:
    module = Segmenter()
    program = captured(module)
    assert [(spec.name, spec.shape, spec.dtype) for spec in program.outputs] == [
        ("out", (1, 4, 16, 16), "float32"),
        ("aux", (1, 4, 16, 16), "float32"),
        ("label", (1, 16, 16), "int64"),
    ]
    found = program.module()(image())
    expected = [value for value in module.eval()(image()).values() if value is not None]
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_a_network_that_returns_numbers_is_refused() -> None:
    class Counting(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
            return x * 2, 3

    with pytest.raises(CaptureError, match="returns a int"):
        captured(Counting())


def test_several_inputs_and_names_given_for_them() -> None:
    example = (torch.randn(2, 3, 8, 8), torch.randn(2, 6))
    module = TwoInputs()
    program = compress.capture(module, example)
    assert [spec.name for spec in program.inputs] == ["picture", "facts"]
    assert torch.equal(program.module()(*example), module(*example))
    renamed = compress.capture(module, example, input_names=["conv2d", "relu"])  # names that operators have, too
    assert [spec.name for spec in renamed.inputs] == ["conv2d", "relu"]
    assert torch.equal(renamed.module()(*example), module(*example))
    assert torch.equal(renamed.module(training=True)(*example), module(*example))


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a b", "c"], ["self", "x"], ["class", "x"]])
def test_input_names_that_cannot_be_are_refused(names: list[str]) -> None:
    with pytest.raises(CaptureError, match="input names"):
        compress.capture(TwoInputs(), (torch.randn(2, 3, 8, 8), torch.randn(2, 6)), input_names=names)


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (image(), "tuple of tensors"),
        ((), "tuple of tensors"),
        ((3,), "is int, not a tensor"),
        ((torch.tensor(1.0),), "batch dimension"),
        ((torch.randn(2, 3, 8, 8), torch.randn(3, 6)), "disagree on the batch size"),
    ],
)
def test_examples_that_are_no_inputs_are_refused(example: Any, said: str) -> None:
    with pytest.raises(CaptureError, match=said):
        compress.capture(TwoInputs(), example)


def test_a_network_that_cannot_be_traced_is_refused_in_one_line() -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(CaptureError, match="cannot trace Branching in evaluation mode") as caught:
        captured(Branching())
    assert "\n" not in str(caught.value)
    assert "in the network's own forward, line" in str(caught.value)
    assert "of test_capturing.py (in forward)" in str(caught.value)


@pytest.mark.parametrize(
    "branch", [lambda x: x * 2 if x.shape[0] > 1 else x, lambda x: x if x.shape[0] == 1 else x.tanh()]
)
def test_a_network_that_is_another_at_a_batch_of_one_is_refused(branch: Callable[[Any], Any]) -> None:
    class Branching(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(branch(x))

    with pytest.raises(CaptureError, match="Branching computes something else for a batch of 1"):
        compress.capture(Branching(6, 4), (torch.randn(1, 6),))


def test_networks_that_take_no_batch_of_one_or_are_random_are_not_refused() -> None:
    class Picky(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[0] != 1
            return super().forward(x + F.dropout(x, 0.5, training=True))

    assert compress.capture(Picky(6, 4), (torch.randn(2, 6),)).output_names == ("output",)


def test_a_wrong_input_size_is_refused_with_a_hint() -> None:
    with pytest.raises(CaptureError, match="--input-size"):
        compress.capture(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (image(),))


def test_names_that_python_cannot_spell_are_refused_and_odd_ones_are_not() -> None:
    class Named(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({name: nn.Linear(4, 4)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for part in self.parts.values():
                x = part(x)
            return x

    with pytest.raises(CaptureError, match="keyword 'class'"):
        compress.capture(Named("class"), (torch.randn(2, 4),))
    for name in ('a"b', "a\\b", "a\nb", 'x", exit(3) or "y'):  # the last would run in the graph's generated source
        with pytest.raises(CaptureError, match="cannot spell"):
            compress.capture(Named(name), (torch.randn(2, 4),))
    program = compress.capture(Named("3x3-a"), (torch.randn(2, 4),))
    assert "parts.3x3-a.weight" in program.state_dict()


class Blocks(nn.Module):
    """Type literals, a block outside automatic precision, and one without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            x = self.a(x.float())
        with torch.no_grad():
            gate, other = self.b(x).sigmoid(), x.mean(1, keepdim=True)
        return x * gate + other + torch.zeros(6, dtype=torch.float32)


def test_higher_order_blocks_are_inlined_and_gradients_still_stop_there() -> None:
    module = Blocks()
    x = torch.randn(2, 6)
    program = compress.capture(module, (x,))
    for mode in (True, False):
        assert not any("wrap_with" in target or "_assert" in target for target in targets(program, mode))
    module(x).sum().backward()
    program.module(training=True)(x).sum().backward()
    for name, parameter in module.named_parameters():
        grad = program.tensors[name].grad
        assert (grad is None) == (parameter.grad is None), name
        assert grad is None or torch.equal(grad, parameter.grad if parameter.grad is not None else grad), name


def test_another_precision_rewrites_type_literals() -> None:
    module = Blocks()
    wide = compress.capture(module, (torch.randn(2, 6),)).astype(torch.float64)
    x = torch.randn(2, 6, dtype=torch.float64)
    result = wide.module()(x)
    assert result.dtype == torch.float64
    assert wide.dtype == torch.float64
    assert wide.module(training=True)(x).dtype == torch.float64
    torch.testing.assert_close(result.float(), module(x.float()), rtol=1e-5, atol=1e-5)


def test_the_scale_of_attention_is_written_out() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(8, 24)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            query, key, value = self.project(x).chunk(3, -1)
            return F.scaled_dot_product_attention(query, key, value)

    module = Attention()
    program = compress.capture(module, (torch.randn(2, 5, 8),))
    for graph in program.graphs.values():
        node = next(node for node in graph.nodes if "attention" in str(node.target))
        assert node.kwargs["scale"] == pytest.approx(1 / math.sqrt(8))
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(program.module()(x), module(x))


def test_nothing_of_this_machine_is_kept_in_the_graph() -> None:
    program = captured(Classifier())
    for graph in program.graphs.values():
        for node in graph.nodes:
            assert set(node.meta) <= {"layer", "source", "input"}
            assert "/" not in str(node.meta.get("source", ""))
    sources = {node.meta["source"].partition(":")[0] for node in program.graphs[False].nodes if "source" in node.meta}
    assert sources == {"networks.py"}, "the user's lines are named, not torch's"


def test_open_sizes_stay_open() -> None:
    module = warmed(Segmenter).eval()
    program = compress.capture(module, (image(size=16),), dynamic_size=True)
    for size in (16, 20, 33):
        found = program.module()(image(size=size))
        torch.testing.assert_close(found[0], module(image(size=size))["out"])
    smaller = compress.prune(program, "macs=0.6", granularity=1).program
    assert smaller.module()(image(size=24))[0].shape == (2, 4, 24, 24)


def exported(module: nn.Module, *, training: bool, batch: bool = True, names: str = "batch") -> Any:
    shapes = ({0: torch.export.Dim(names)},) if batch else None
    return torch.export.export(copy.deepcopy(module).train(training), (image(),), dynamic_shapes=shapes)


@pytest.mark.parametrize("training", [False, True])
def test_a_foreign_archive_trains_and_evaluates_whatever_mode_it_was_saved_in(tmp_path: Path, training: bool) -> None:
    module = warmed(Classifier)
    path = tmp_path / "foreign.pt2"
    torch.export.save(exported(module, training=training), path)
    program = compress.load(path)
    before = program.fingerprint()
    assert torch.equal(program.module()(image()), copy.deepcopy(module).eval()(image()))
    assert program.fingerprint() == before, "evaluating changes nothing"
    torch.manual_seed(3)
    expected = copy.deepcopy(module).train()(image(4))
    torch.manual_seed(3)
    assert torch.equal(program.module(training=True)(image(4)), expected)
    assert set(program.state_dict()) == set(module.state_dict())
    assert compress.prune(program, "macs=0.7", granularity=1).program.count().macs < program.count().macs


def test_a_foreign_archive_with_a_fixed_batch_is_refused() -> None:
    with pytest.raises(CaptureError, match="pins its batch size to 2"):
        from_exported(exported(Classifier(), training=False, batch=False), where="a.pt2")


def test_a_decomposed_archive_is_refused() -> None:
    with pytest.raises(CaptureError, match="decomposed"):
        from_exported(exported(Classifier(), training=False).run_decompositions(), where="a.pt2")


def test_a_foreign_archive_with_an_input_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, factor: int) -> torch.Tensor:
            return x * factor

    program = torch.export.export(Scaled(), (image(), 3), dynamic_shapes=({0: torch.export.Dim("batch")}, None))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    path = tmp_path / "scaled.pt2"
    path.write_bytes(stream.getvalue())
    with pytest.raises(CaptureError, match="not a tensor"):
        compress.load(path)


def test_a_batch_norm_without_running_statistics_is_left_alone() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8, track_running_stats=False))
    program = from_exported(exported(module, training=False))
    norm = next(node for node in program.graphs[False].nodes if node.target is _aten.batch_norm.default)
    assert norm.args[5] is True
    torch.testing.assert_close(program.module()(image()), module(image()))


@pytest.mark.parametrize("name", ["meta", "graph", "code"])
def test_parts_named_like_attributes_of_a_graph_module_are_refused_in_one_line(name: str) -> None:
    module = nn.Sequential()
    module.add_module(name, nn.Linear(4, 3))
    with pytest.raises(CaptureError, match=f"named '{name}'"):
        compress.capture(module, (torch.randn(2, 4),))


def test_a_network_that_cannot_be_traced_prints_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    class Spelling(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.view(1, -1))

    with pytest.raises(CaptureError, match="cannot trace Branching"):
        compress.capture(Branching(), (torch.randn(2, 4),))
    with pytest.raises(CaptureError, match=r"cannot trace Spelling.* line \d+ of test_capturing.py .*batch size"):
        compress.capture(Spelling(4, 3), (torch.randn(2, 4),))
    shown = capfd.readouterr()
    assert shown.out + shown.err == ""


class Table(nn.Module):
    """Holds a table of the wrong size, which its forward computes anew."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.table = nn.Buffer(torch.zeros(1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = self.table if self.table.shape[1] == 3 else torch.arange(3.0)[None] * 0.5
        result: torch.Tensor = self.layer(x) + table
        return result


def test_a_table_that_forward_computes_anew_is_not_stored(tmp_path: Path) -> None:
    program = compress.capture(Table(), (torch.randn(2, 4),))
    assert set(program.tensors) == {"layer.weight", "layer.bias"}
    program.save(tmp_path / "net.pt2")
    assert compress.load(tmp_path / "net.pt2").fingerprint() == program.fingerprint()
