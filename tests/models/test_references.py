"""References through the public API: what is created, what is recorded, and every way to get one wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import models
from compress.errors import ModelError

ONE_LINE_LIMIT = 600


def error_of(ref: str) -> str:
    with pytest.raises(ModelError) as caught:
        models.create(ref)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < ONE_LINE_LIMIT
    assert caught.value.exit_code == 2
    return text


def refusal_of(ref: str) -> str | None:
    try:
        models.parse(ref)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("ref", "shape", "outputs"),
    [
        ("torchvision:resnet18", (3, 224, 224), 1000),
        ("torchvision:mobilenet_v3_small?num_classes=7", (3, 224, 224), 7),
        ("torchvision:vit_b_32?image_size=64&num_classes=5", (3, 64, 64), 5),
        ("timm:mobilenetv3_small_100?num_classes=10", (3, 224, 224), 10),
        ("timm:resnet18?in_chans=1&num_classes=3", (1, 224, 224), 3),
        ("timm:resnet18.a1_in1k?drop_rate=0.1", (3, 224, 224), 1000),
        ("models:resnet20", (3, 32, 32), 10),
        ("models:resnet20?num_classes=100&in_channels=1&shortcut=b&width=8", (1, 32, 32), 100),
        ("models:digitsnet", (1, 8, 8), 10),
        ("models:digitsnet?num_classes=4&in_channels=3", (3, 8, 8), 4),
    ],
)
def test_creates_networks_that_take_their_recorded_input(ref: str, shape: tuple[int, ...], outputs: int) -> None:
    made = models.load_reference(ref)
    assert made.ref == ref
    assert made.module.training
    assert made.example_inputs is None
    assert made.default_input == models.default_input(ref) == shape
    assert made.preprocessing == models.preprocessing(ref)
    with torch.no_grad():
        assert made.module.eval()(torch.randn(2, *shape)).shape == (2, outputs)


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("torchvision:inception_v3", {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "size": [299, 299]}),
        ("timm:inception_v3", {"mean": [0.5] * 3, "std": [0.5] * 3, "size": [299, 299]}),
        ("timm:vit_tiny_patch16_224", {"mean": [0.5] * 3, "std": [0.5] * 3, "size": [224, 224]}),
        ("models:resnet56", {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "size": [32, 32]}),
        ("models:digitsnet", {"mean": [0.3053], "std": [0.376], "size": [8, 8]}),
        ("models:digitsnet?in_channels=3", None),
        ("torchvision:raft_small", None),
    ],
)
def test_preprocessing_is_what_the_weights_record(ref: str, expected: dict[str, Any] | None) -> None:
    assert models.preprocessing(ref) == expected


@pytest.mark.parametrize(
    ("ref", "shape"),
    [
        ("torchvision:vit_h_14", (3, 224, 224)),
        ("torchvision:efficientnet_b3", (3, 300, 300)),
        ("torchvision:fcn_resnet50", (3, 520, 520)),
        ("torchvision:fasterrcnn_resnet50_fpn", (3, 800, 800)),
        ("torchvision:ssd300_vgg16", (3, 300, 300)),
        ("torchvision:r3d_18", (3, 16, 112, 112)),
        ("torchvision:s3d", (3, 14, 224, 224)),
        ("timm:vit_tiny_patch16_384?img_size=256", (3, 256, 256)),
    ],
)
def test_default_input_needs_no_network(ref: str, shape: tuple[int, ...]) -> None:
    assert models.default_input(ref) == shape


def test_every_torchvision_network_is_described() -> None:
    without_size = []
    for ref in models.list_models("torchvision:*"):
        try:
            shape = models.default_input(ref)
        except ModelError:
            without_size.append(ref)
            continue
        recorded = models.preprocessing(ref)
        assert recorded is not None
        assert tuple(recorded["size"]) == shape[-2:]
    assert without_size == ["torchvision:raft_large", "torchvision:raft_small"]


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_networks_are_created_without_scipy_initialisation(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda *_, **__: pytest.fail("slow initialisation ran"))
    module = models.create(f"torchvision:{name}?num_classes=5")
    assert any(key.lower().startswith("aux") for key in module.state_dict())


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a download was tried")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    # A detector and a segmentation network: both would fetch a pretrained backbone by default.
    models.create("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn")
    models.create("torchvision:lraspp_mobilenet_v3_large?num_classes=4")


def test_builds_on_the_meta_device() -> None:
    for ref in ("torchvision:googlenet", "timm:resnet18", "models:resnet20", "models:digitsnet"):
        with torch.device("meta"):
            assert all(tensor.is_meta for tensor in models.create(ref).parameters())


def test_argument_types() -> None:
    parsed = models.parse("timm:x?a=3&b=-2&c=0.5&d=1e-3&e=true&f=False&g=avg&h=&i=1.2.3&j=a%26b&k=infinity")
    assert dict(parsed.arguments) == {
        "a": 3, "b": -2, "c": 0.5, "d": 0.001, "e": True, "f": False, "g": "avg", "h": "", "i": "1.2.3", "j": "a&b",
        "k": "infinity",
    }  # fmt: skip
    assert [type(value) for value in parsed.arguments.values()][:6] == [int, int, float, float, bool, bool]


def test_parsing_a_file_reference_keeps_the_path() -> None:
    parsed = models.parse("some dir/net.v2.py:Net.small?width=8")
    assert (parsed.provider, parsed.name, parsed.arguments) == ("file", "some dir/net.v2.py:Net.small", {"width": 8})


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    outcome = refusal_of(text)
    if outcome is None:
        assert models.parse(text).text == text
        assert models.parse(text).name
    else:
        assert len(outcome.splitlines()) == 1


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("resnet50", "write torchvision:NAME"),
        ("", "write torchvision:NAME"),
        ("a\nb:c", "write torchvision:NAME"),
        ("torchvsion:resnet50", "did you mean torchvision:resnet50?"),
        ("tensorflow:resnet50", "unknown provider 'tensorflow'"),
        ("torchvision:", "no model is named"),
        ("torchvision:resnet51", "nearest names: resnet50"),
        ("torchvision:qqqqqqqq", "models.list_models('torchvision:*')"),
        ("timm:mobilnetv3_small_100", "mobilenetv3_small_100"),
        ("timm:hf-hub:some/model", "has no model named"),
        ("timm:local-dir:somewhere", "has no model named"),
        ("timm:resnet18.no_such_tag", "no_such_tag"),
        ("models:resnet21", "nearest names"),
        ("models:resnet116", "has no model named"),
        ("models:resnet20?num_classes", "is not key=value"),
        ("models:resnet20?=3", "is not key=value"),
        ("models:resnet20?", "is not key=value"),
        ("models:resnet20?width=8&width=9", "given twice"),
        ("models:resnet20?shortcut=c", "ValueError: shortcut is 'a' or 'b'"),
        ("models:resnet20?depth=26", "unknown argument 'depth'"),
        ("models:resnet20?num_classes=0", "at least 1"),
        ("models:resnet20?width=wide", "width must be a whole number"),
        ("models:digitsnet?num_classes=1.5", "num_classes must be a whole number"),
        ("models:resnet20?colour=red", "accepted: num_classes, in_channels, width, shortcut"),
        ("torchvision:resnet18?colour=red", "unknown argument 'colour'"),
        ("timm:resnet18?colour=red", "unknown argument 'colour'"),
        ("torchvision:resnet18?weights=DEFAULT", "argument 'weights' is not allowed"),
        ("torchvision:fcn_resnet50?weights_backbone=DEFAULT", "argument 'weights_backbone' is not allowed"),
        ("timm:resnet18?pretrained=true", "argument 'pretrained' is not allowed"),
        ("timm:resnet18?checkpoint_path=x.pth", "argument 'checkpoint_path' is not allowed"),
        ("torchvision:resnet18?num_classes=ten", "building it raised TypeError"),
        ("net.py", "no factory is named"),
        ("net.py:", "no factory is named"),
    ],
)
def test_wrong_references(ref: str, expected: str) -> None:
    text = error_of(ref)
    assert expected in text
    if ref and ref.isprintable():
        assert text.startswith(ref)


def test_default_input_says_when_nothing_is_recorded() -> None:
    with pytest.raises(ModelError, match="--input-size"):
        models.default_input("torchvision:raft_small")


def test_list_models() -> None:
    assert models.list_models("models:*") == [
        "models:cifar_mobilenetv2",
        "models:digitsnet",
        *(f"models:fbnetv3_{name}" for name in ("a", "a0", "b", "c", "d", "digits_a", "digits_b", "digits_c")),
        *(f"models:fbnetv3_{name}" for name in ("digits_d", "e", "f", "g", "mini_a", "mini_b", "mini_c", "mini_d")),
        "models:mobilenetv1",
        *sorted(f"models:resnet{6 * n + 2}" for n in range(1, 19)),
    ]
    assert {"torchvision:resnet50", "timm:resnet50", "models:resnet50"} <= set(models.list_models("*:resnet50"))
    assert "timm:resnet50" in models.list_models("t*:resnet50")
    assert models.list_models("nothing:*") == []
    assert len(models.list_models()) > 1000


def test_lazy_names_are_all_there() -> None:
    assert all(getattr(models, name) is not None for name in models.__all__)
    assert set(models.__all__) <= set(dir(models))
    with pytest.raises(AttributeError, match="nothing_like_this"):
        models.nothing_like_this  # noqa: B018 - the access is what is tested


def test_example_inputs_of_a_catalogue_are_none(tmp_path: Path) -> None:
    assert models.example_inputs("models:resnet20") is None
