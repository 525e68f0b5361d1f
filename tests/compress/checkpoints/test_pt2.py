"""The rewritten archive: what passes, and which hostile or damaged archives are refused."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from compress.checkpoints import sanitise_pt2
from compress.errors import CheckpointError

from ._archives import Entries, entries_of, network, pack, save, with_json, with_program

WEIGHTS = "data/weights/model_weights_config.json"


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        sanitise_pt2(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_network_text_and_dynamic_batch_pass_through(archive: Path) -> None:
    texts = {"compress.json": ""}
    program = torch.export.load(sanitise_pt2(archive), extra_files=texts)
    assert json.loads(texts["compress.json"]) == {"format": "compress-program"}
    assert program.example_inputs is None
    assert program._guards_code == []
    for batch in (1, 5):
        inputs = torch.randn(batch, 3, 8, 8)
        torch.testing.assert_close(program.module()(inputs), network()(inputs))


def test_every_tensor_and_kind_is_kept(archive: Path) -> None:
    plain, ours = torch.export.load(archive), torch.export.load(sanitise_pt2(archive))
    assert list(ours.state_dict) == list(plain.state_dict)
    for name, tensor in plain.state_dict.items():
        assert torch.equal(ours.state_dict[name], tensor)
        assert type(ours.state_dict[name]) is type(tensor)
    assert [node.name for node in ours.graph.nodes] == [node.name for node in plain.graph.nodes]


class Varied(nn.Module):
    """Attention, views with computed sizes, a constant, tied weights, a non-persistent buffer, a dict of outputs."""

    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.arange(8.0), persistent=False)

    def forward(self, image: torch.Tensor, shift: torch.Tensor) -> dict[str, Any]:
        x = functional.interpolate(self.stem(image), scale_factor=2.0)
        tokens = x.flatten(2).transpose(1, 2)
        mixed = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        if mixed.shape[0] > 1:
            mixed = mixed + torch.tensor([0.5])
        pooled = functional.dropout(self.first(mixed) + self.second(mixed), 0.1, self.training).mean(1)
        return {"sum": pooled * self.scale + shift, "all": [tokens, torch.einsum("bc,bd->bcd", pooled, pooled)]}


def test_varied_network_is_equal_after_rewriting(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = Varied().eval()
    example = (torch.randn(2, 3, 4, 4), torch.randn(2, 8))
    path = save(module, tmp_path / "varied.pt2", example)
    inputs = (torch.randn(3, 3, 4, 4), torch.randn(3, 8))
    found, wanted = torch.export.load(sanitise_pt2(path)).module()(*inputs), module(*inputs)
    torch.testing.assert_close(found, wanted)


def test_expressions_of_dynamic_sizes_pass(tmp_path: Path) -> None:
    class Sizes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            half = x[:, :, : x.shape[2] // 2 + 1]
            return half.reshape(x.shape[0] * half.shape[2], -1) * (x.shape[2] ** 2)

    dynamic = {"x": {0: torch.export.Dim("batch"), 2: 2 * torch.export.Dim("half", min=2, max=49)}}
    program = torch.export.export(Sizes(), (torch.randn(2, 3, 8),), dynamic_shapes=dynamic)
    path = tmp_path / "sizes.pt2"
    torch.export.save(program, path)
    inputs = torch.randn(4, 3, 12)
    torch.testing.assert_close(torch.export.load(sanitise_pt2(path)).module()(inputs), Sizes()(inputs))


def test_weights_saved_on_another_device_come_to_the_cpu(entries: Entries, tmp_path: Path) -> None:
    def move(document: Any) -> None:
        for entry in document["config"].values():
            entry["tensor_meta"]["device"] = {"type": "cuda", "index": 1}

    path = pack(with_json(entries, WEIGHTS, move), tmp_path / "gpu.pt2")
    state = torch.export.load(sanitise_pt2(path)).state_dict
    assert {tensor.device.type for tensor in state.values()} == {"cpu"}


def test_entries_with_code_are_refused(entries: Entries, tmp_path: Path) -> None:
    for name in ("data/aotinductor/model/net.so", "data/constants/custom_obj_0", "data/executorch/net.pte", "run.py"):
        message = refused(pack({**entries, name: b"\x7fELF"}, tmp_path / "code.pt2"))
        assert name in message


def test_unknown_versions_are_named(entries: Entries, tmp_path: Path) -> None:
    assert "archive version '7'" in refused(pack({**entries, "archive_version": b"7"}, tmp_path / "a.pt2"))
    newer = with_program(entries, lambda document: document["schema_version"].update(major=9))
    assert "schema version" in refused(pack(newer, tmp_path / "b.pt2"))


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "archive/../../evil", "archive\\evil", "c:/evil", "other/x"]
)
def test_unsafe_names_are_refused(name: str, entries: Entries, tmp_path: Path) -> None:
    path = pack(entries, tmp_path / "names.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_entries_are_refused(entries: Entries, tmp_path: Path) -> None:
    path = pack(entries, tmp_path / "twice.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/models/model.json", entries["models/model.json"])
    assert "two entries" in refused(path)


def test_compressed_entries_are_refused_before_they_are_unpacked(entries: Entries, tmp_path: Path) -> None:
    bomb = {**entries, "data/weights/weight_0": bytes(50 * 2**20)}
    path = pack(bomb, tmp_path / "bomb.pt2", zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    assert "compressed" in refused(path)


def test_sizes_are_held_against_the_file(entries: Entries, tmp_path: Path) -> None:
    path = pack(entries, tmp_path / "claims.pt2")
    data = bytearray(path.read_bytes())
    start = data.rfind(b"PK\x01\x02")
    data[start + 20 : start + 28] = (2**31).to_bytes(4, "little") * 2
    path.write_bytes(bytes(data))
    assert "more bytes than the file" in refused(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sizes", [{"as_int": 2**40}]),
        ("sizes", [{"as_int": -1}]),
        ("sizes", [{"as_expr": {"expr_str": "s0"}}]),
        ("sizes", "many"),
        ("strides", [{"as_int": 10**9}]),
        ("storage_offset", {"as_int": 10**9}),
        ("dtype", 99),
        ("layout", 1),
        ("device", {"type": "meta"}),
    ],
)
def test_tensors_that_do_not_fit_their_bytes_are_refused(
    field: str, value: object, entries: Entries, tmp_path: Path
) -> None:
    def change(document: Any) -> None:
        document["config"]["5.bias"]["tensor_meta"][field] = value

    refused(pack(with_json(entries, WEIGHTS, change), tmp_path / "fit.pt2"))


def test_repeated_elements_cannot_unfold_into_much_memory(entries: Entries, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        meta = document["config"]["5.bias"]["tensor_meta"]
        meta.update(sizes=[{"as_int": 2**40}], strides=[{"as_int": 0}])

    refused(pack(with_json(entries, WEIGHTS, change), tmp_path / "unfold.pt2"))


def test_missing_pieces_are_named(entries: Entries, tmp_path: Path) -> None:
    for name in ("data/weights/weight_0", WEIGHTS, "data/constants/model_constants_config.json"):
        kept = {key: value for key, value in entries.items() if key != name}
        refused(pack(kept, tmp_path / "missing.pt2"))
    other = {key.replace("models/model", "models/other"): value for key, value in entries.items()}
    assert "no exported program named 'model'" in refused(pack(other, tmp_path / "other.pt2"))


def test_broken_descriptions_are_refused(entries: Entries, tmp_path: Path) -> None:
    for text in (b"", b"{", b"[]", b"null", b"[" * 200_000, b'{"graph_module": {}}', b"\xff"):
        refused(pack({**entries, "models/model.json": text}, tmp_path / "json.pt2"))


def test_constant_inputs_are_checked_since_torch_pastes_them_into_source(entries: Entries, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        graph = document["graph_module"]["graph"]
        graph["inputs"].append({"as_string": "' or __import__('os').getpid() or '"})

    assert "__import__" in refused(pack(with_program(entries, change), tmp_path / "constant.pt2"))


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([]), st.just({}), st.just([{}])
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_description_passes_or_is_refused(
    data: st.DataObject, entries: Entries, tmp_path: Path
) -> None:
    names = ["models/model.json", WEIGHTS, "data/constants/model_constants_config.json"]
    name = data.draw(st.sampled_from(names))
    document = value = json.loads(entries[name])
    while isinstance(value, dict | list) and value:
        parent, key = value, data.draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
        value = parent[key]
        if data.draw(st.integers(0, 6)) == 0:
            break
    else:
        parent, key = document, next(iter(document))
    parent[key] = data.draw(LEAVES)
    path = pack({**entries, name: json.dumps(document).encode()}, tmp_path / "changed.pt2")
    with contextlib.suppress(CheckpointError):
        sanitise_pt2(path)


def test_truncated_and_flipped_archives_are_refused(archive: Path, entries: Entries, tmp_path: Path) -> None:
    data = archive.read_bytes()
    path = tmp_path / "cut.pt2"
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        assert "truncated or damaged" in refused(path)
    position = data.find(entries["data/weights/weight_0"])
    path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    assert "damaged" in refused(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.pt2"
    text.write_text("hello")
    refused(text)
    torch.save(network().state_dict(), tmp_path / "state.pt")
    assert "not an exported program" in refused(tmp_path / "state.pt")


def test_stack_traces_keep_no_control_characters(entries: Entries, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0]["metadata"]["stack_trace"] = "File x\r\x0b import os\nline"

    path = tmp_path / "clean.pt2"
    path.write_bytes(sanitise_pt2(pack(with_program(entries, change), tmp_path / "trace.pt2")).getvalue())
    document = json.loads(entries_of(path)["models/model.json"])
    trace = document["graph_module"]["graph"]["nodes"][0]["metadata"]["stack_trace"]
    assert trace == "File x?? import os\nline"
