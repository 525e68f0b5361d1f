"""Architectures named from names and shapes alone, against real constructors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import models
from compress.checkpoints import index_versions, read, recognise
from compress.checkpoints.build_index import build, write
from compress.errors import CheckpointError, ModelError

SHARED = Path(__file__).parents[4] / "shared" / "checkpoints"

SAMPLE = [
    "torchvision:resnet18", "torchvision:vgg11_bn", "torchvision:mobilenet_v3_small", "torchvision:squeezenet1_1",
    "torchvision:googlenet", "torchvision:regnet_y_400mf", "torchvision:shufflenet_v2_x0_5",
    "torchvision:lraspp_mobilenet_v3_large", "timm:mobilenetv3_small_050", "timm:efficientnet_lite0",
    "timm:vit_tiny_patch16_224", "timm:ghostnet_050", "models:resnet20", "models:resnet20?shortcut=b",
    "models:digitsnet",
]  # fmt: skip


def state_of(ref: str) -> dict[str, torch.Tensor]:
    """Return names and shapes without values: that is all that recognition looks at."""
    with torch.device("meta"):
        try:
            return models.create(ref).state_dict()
        except ModelError:  # RegNets compute their widths with tensors, which need values
            with torch.device("cpu"):
                return models.create(ref).state_dict()


@pytest.mark.parametrize("ref", SAMPLE)
def test_as_it_comes_and_with_other_classes(ref: str) -> None:
    found = recognise(state_of(ref))
    assert found.ref == ref
    assert ref in found.message
    changed = f"{ref}{'&' if '?' in ref else '?'}num_classes=7"
    found = recognise(state_of(changed))
    assert (found.ref, found.num_classes) == (changed, 7)


@pytest.mark.parametrize("ref", ["timm:resnet18", "timm:resnetblur18"])
def test_shared_names_and_shapes_give_the_plainest_and_name_the_others(ref: str) -> None:
    found = recognise(state_of(f"{ref}?num_classes=7"))
    assert found.ref == "torchvision:resnet18?num_classes=7"
    assert found.alternatives == ["timm:resnet18?num_classes=7", "timm:resnetblur18?num_classes=7"]
    assert "timm:resnetblur18" in found.message
    assert "--model" in found.message


def test_every_alternative_has_these_names_and_shapes() -> None:
    state = state_of("timm:efficientnet_b0")
    found = recognise(state)
    assert found.ref == "timm:efficientnet_b0"
    assert found.alternatives
    for other in found.alternatives:
        assert {n: t.shape for n, t in state_of(other).items()} == {n: t.shape for n, t in state.items()}


def test_auxiliary_heads_make_a_difference() -> None:
    state = state_of("torchvision:googlenet")
    without = {name: value for name, value in state.items() if not name.startswith("aux")}
    assert recognise(without).ref == "torchvision:googlenet?aux_logits=false"


def test_old_checkpoints_have_no_batch_counters() -> None:
    state = state_of("torchvision:resnet18")
    assert recognise({n: t for n, t in state.items() if "num_batches" not in n}).ref == "torchvision:resnet18"


def test_changed_widths_are_not_recognised_but_explained() -> None:
    state = dict(state_of("torchvision:resnet18"))
    state["layer1.0.conv1.weight"] = torch.empty(40, 64, 3, 3)
    with pytest.raises(CheckpointError, match=r"names are those of torchvision:resnet18.*shapes differ"):
        recognise(state)


def test_classifier_layers_that_disagree_are_not_recognised() -> None:
    state = dict(state_of("torchvision:resnet18"))
    state["fc.bias"] = torch.empty(999)
    with pytest.raises(CheckpointError, match="shapes differ"):
        recognise(state)
    state["fc.bias"] = torch.empty(())
    with pytest.raises(CheckpointError, match="shapes differ"):
        recognise(state)


def test_nearest_architectures_are_suggested() -> None:
    state = {name: value for name, value in state_of("torchvision:vgg11_bn").items() if "classifier.6" not in name}
    with pytest.raises(CheckpointError) as caught:
        recognise(state)
    assert "nearest: torchvision:vgg11_bn" in str(caught.value)
    assert "--model" in str(caught.value)


def test_unknown_and_empty_state_dicts() -> None:
    for state in ({}, {"my.own.weight": torch.empty(3)}):
        with pytest.raises(CheckpointError, match="no known architecture") as caught:
            recognise(state)
        assert "nearest" not in str(caught.value)


def test_found_checkpoints() -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/checkpoints")
    assert recognise(read(SHARED / "resnet20-12fca82f.th").state).ref == "models:resnet20"
    assert recognise(read(SHARED / "resnet56-4bfd9763.th").state).ref == "models:resnet56"


def test_index_says_what_it_was_built_with() -> None:
    assert set(index_versions()) == {"torch", "torchvision", "timm"}


def test_generator_is_reproducible(tmp_path: Path) -> None:
    refs = ["torchvision:resnet18", "torchvision:raft_small", "timm:vit_small_patch14_dinov2"]
    first, second = build(refs), build(refs)
    assert first == second
    assert first["skipped"] == {}
    assert write(first, tmp_path / "a.gz") == write(second, tmp_path / "b.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.slow
def test_every_indexed_architecture_is_recognised_with_seven_classes() -> None:
    wrong = []
    for ref in models.list_models("timm:*")[::40] + models.list_models("torchvision:*")[::5]:
        if ref.startswith("torchvision:quantized"):
            continue
        state = state_of(ref)
        found = recognise(state)
        if ref not in (found.ref, *found.alternatives):
            wrong.append((ref, found.message))
    assert wrong == []
