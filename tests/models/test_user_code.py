"""User files: their own packages win while their code runs, ours are intact afterwards, every mistake is one line."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import compress.errors
import models
import models.references
from compress.errors import ModelError

Project = Callable[[dict[str, str]], Path]

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Write files (path to source) into a fresh folder and return it."""

    def write(files: dict[str, str]) -> Path:
        for name, source in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(textwrap.dedent(source))
        return tmp_path

    return write


def error_of(ref: str) -> str:
    before = ours_in_memory(), list(sys.path), list(sys.meta_path)
    with pytest.raises(ModelError) as caught:
        models.create(ref)
    assert (ours_in_memory(), list(sys.path), list(sys.meta_path)) == before
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(ref)
    return text


def ours_in_memory() -> dict[str, int]:
    tops = ("models", "compress", "exporters", "deploy")
    return {name: id(module) for name, module in sys.modules.items() if name.partition(".")[0] in tops}


def test_factories_with_arguments_and_example_inputs(project: Project) -> None:
    root = project(
        {
            "net.py": NET
            + """
def small(width=8, scale=1.0, bias=True, name="x"):
    net = Net(width)
    net.record = (width, scale, bias, name)
    return net

def paired(width=4):
    return Net(width), (torch.zeros(2, 3, 10, 12), torch.zeros(2, 5))

def single():
    return Net(), torch.zeros(2, 3, 9, 9)
"""
        }
    )
    module = models.create(f"{root}/net.py:small?width=6&scale=0.5&bias=false&name=y")
    assert module.record == (6, 0.5, False, "y")
    assert models.create(f"{root}/net.py:Net?width=5").get_parameter("conv.weight").shape[0] == 5
    made = models.load_reference(f"{root}/net.py:paired?width=7")
    assert made.example_inputs is not None
    assert [tuple(tensor.shape) for tensor in made.example_inputs] == [(2, 3, 10, 12), (2, 5)]
    assert made.default_input == (3, 10, 12)
    assert made.preprocessing is None
    assert models.default_input(f"{root}/net.py:single") == (3, 9, 9)
    inputs = models.example_inputs(f"{root}/net.py:single")
    assert inputs is not None
    assert len(inputs) == 1
    assert models.example_inputs(f"{root}/net.py:small") is None
    with pytest.raises(ModelError, match="--input-size"):
        models.default_input(f"{root}/net.py:small")


def test_a_timm_network_from_a_user_file_keeps_its_recorded_input(project: Project) -> None:
    root = project({"net.py": "import timm\ndef f():\n    return timm.create_model('resnet18', num_classes=4)\n"})
    made = models.load_reference(f"{root}/net.py:f")
    assert made.default_input == (3, 224, 224)
    assert made.preprocessing is not None


def test_the_users_own_packages_win_and_ours_come_back(project: Project) -> None:
    root = project(
        {
            "models/__init__.py": "from models.blocks import Net\nOWNER = 'user'\n",
            "models/blocks.py": NET,
            "models/late.py": "VALUE = 3\n",
            "models/later.py": "def double(x):\n    return 2 * x\n",
            "compress.py": "RATIO = 0.25\n",
            "exporters/tools.py": "KIND = 'namespace package'\n",
            "main.py": """
                import models
                import compress
                from models import Net
                from exporters import tools

                class Late(Net):
                    def forward(self, x):
                        from models.later import double
                        return double(super().forward(x))

                def factory(width=4):
                    from models import late
                    import importlib
                    assert importlib.import_module("models.late") is late
                    net = Late(width)
                    net.seen = (models.OWNER, compress.RATIO, tools.KIND, late.VALUE)
                    return net
                """,
        }
    )
    ours, path = ours_in_memory(), list(sys.path)
    module = models.create(f"{root}/main.py:factory?width=6")
    assert module.seen == ("user", 0.25, "namespace package", 3)
    assert ours_in_memory() == ours
    assert sys.path == path
    assert sys.modules["models"] is models
    assert sys.modules["compress.errors"] is compress.errors
    assert "main" not in sys.modules
    # An import inside forward, after everything was put back, still finds the user's package.
    assert module.eval()(torch.ones(2, 3, 5, 5)).shape == (2, 6)
    assert ours_in_memory() == ours
    assert copy.deepcopy(module)(torch.ones(1, 3, 5, 5)).shape == (1, 6)
    exported = torch.export.export(module, (torch.ones(2, 3, 5, 5),))
    assert torch.equal(exported.module()(torch.ones(2, 3, 5, 5)), module(torch.ones(2, 3, 5, 5)))
    assert ours_in_memory() == ours


def test_a_package_named_models_without_init(project: Project) -> None:
    root = project({"models/small.py": NET, "build.py": "from models.small import Net\n"})
    assert models.create(f"{root}/build.py:Net").get_parameter("conv.weight").shape[0] == 4


def test_a_file_inside_a_package_may_import_relatively(project: Project) -> None:
    root = project(
        {
            "models/__init__.py": "",
            "models/common.py": NET,
            "models/timm.py": "raise ImportError('shadowing')\n",
            "models/yolo.py": """
                from .common import Net
                from models.common import Net as Same
                import timm
                assert Net is Same and hasattr(timm, "create_model")
                """,
        }
    )
    assert models.create(f"{root}/models/yolo.py:Net").get_parameter("conv.weight").shape[0] == 4


def test_packages_in_a_folder_that_the_file_adds_to_the_path(project: Project) -> None:
    root = project(
        {
            "models/__init__.py": "",
            "models/common.py": NET,
            "lib/helper_for_late.py": "VALUE = 11\n",
            "tools/export.py": """
                import os, sys
                sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
                sys.path.append(os.path.join(os.path.dirname(__file__), "..", "lib"))
                from models.common import Net

                class Late(Net):
                    def forward(self, x):
                        import helper_for_late
                        return super().forward(x) + helper_for_late.VALUE
                """,
        }
    )
    ours, path = ours_in_memory(), list(sys.path)
    module = models.create(f"{root}/tools/export.py:Late")
    assert (ours_in_memory(), sys.path) == (ours, path)
    assert module(torch.ones(1, 3, 4, 4)).shape == (1, 4)
    assert (ours_in_memory(), sys.path) == (ours, path)
    sys.modules.pop("helper_for_late", None)


def test_packages_in_the_working_directory_above_the_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project({"models/common.py": NET, "nets/build.py": "from models.common import Net\n"})
    monkeypatch.chdir(root)
    assert models.create("nets/build.py:Net").get_parameter("conv.weight").shape[0] == 4


def test_two_projects_with_the_same_names_do_not_meet(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = project(
        {"utils.py": "WIDTH = 3\n", "net.py": f"{NET}\nimport utils\ndef f():\n    return Net(utils.WIDTH)\n"}
    )
    second = tmp_path_factory.mktemp("second")
    (second / "utils.py").write_text("WIDTH = 5\n")
    (second / "net.py").write_text((first / "net.py").read_text())
    for _ in range(2):
        assert models.create(f"{first}/net.py:f").get_parameter("conv.weight").shape[0] == 3
        assert models.create(f"{second}/net.py:f").get_parameter("conv.weight").shape[0] == 5


def test_a_file_that_uses_our_packages_gets_them(project: Project) -> None:
    source = """
        import models
        from compress.errors import ModelError

        def f():
            return models.create("models:resnet8")
        """
    root = project({"net.py": source})
    assert type(models.create(f"{root}/net.py:f")).__module__ == "models.cifar_resnet"


def test_our_own_source_file_can_be_named() -> None:
    source = Path(models.__file__).parent / "cifar_resnet.py"
    ours = ours_in_memory()
    assert models.create(f"{source}:resnet?depth=8").get_parameter("linear.weight").shape[0] == 10
    assert ours_in_memory() == ours


def test_names_of_the_standard_library_are_left_alone(project: Project) -> None:
    root = project({"random.py": "raise ImportError('mine')\n", "test.py": f"import random\nrandom.random()\n{NET}"})
    assert models.create(f"{root}/test.py:Net").get_parameter("conv.weight").shape[0] == 4
    assert hasattr(sys.modules["random"], "random")


def test_an_unchanged_file_runs_once_and_a_changed_one_again(project: Project) -> None:
    counting = "with open(__file__ + '.log', 'a') as log:\n    log.write('x')\n"
    root = project({"net.py": f"from part import WIDTH\n{counting}{NET}", "part.py": "WIDTH = 4\n"})
    for _ in range(3):
        models.create(f"{root}/net.py:Net?width=2")
    assert (root / "net.py.log").read_text() == "x"
    (root / "part.py").write_text("WIDTH = 5\n# longer than before\n")
    models.create(f"{root}/net.py:Net")
    assert (root / "net.py.log").read_text() == "xx"
    assert not list(root.rglob("__pycache__"))


def test_a_failed_load_is_tried_again(project: Project) -> None:
    root = project({"net.py": "import part\n" + NET, "part.py": "raise RuntimeError('not yet')\n"})
    assert "RuntimeError: not yet (part.py, line 1)" in error_of(f"{root}/net.py:Net")
    (root / "part.py").write_text("READY = True\n")
    assert models.create(f"{root}/net.py:Net") is not None


def test_load_function_returns_the_bare_function(project: Project) -> None:
    root = project(
        {
            "models/metrics.py": "def half(x):\n    return x / 2\n",
            "loss.py": "def loss(a, b):\n    from models.metrics import half\n    return half(a - b)\n",
        }
    )
    function = models.load_function(f"{root}/loss.py:loss")
    ours = ours_in_memory()
    assert function(5, 3) == 1
    assert ours_in_memory() == ours


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("def f(:\n", "f", "cannot be loaded: SyntaxError"),
        ("import no_such_package_anywhere\n", "f", "No module named 'no_such_package_anywhere' (net.py, line 1)"),
        ("raise SystemExit(3)\n", "f", "calls exit (3)"),
        ("x = 1\n", "f", "has no 'f'; the file defines no function or class"),
        ("def build(): ...\nclass Net: ...\ndef _hidden(): ...\n", "f", "the file defines: build, Net"),
        ("f = 3\n", "f", "'f' is not a function or class but int"),
        ("def f():\n    raise ValueError('two\\nlines')\n", "f", "'f' failed: ValueError: two lines (net.py, line 2)"),
        ("def f():\n    raise SystemExit\n", "f", "calls exit"),
        ("def f():\n    assert False\n", "f", "'f' failed: AssertionError (net.py, line 2)"),
        ("def f(): ...\n", "f", "the factory returned None; return an nn.Module"),
        ("def f():\n    return {}\n", "f", "returned an object of type dict"),
        ("def f():\n    return 1, 2, 3\n", "f", "returned a tuple of 3"),
        ("import torch\ndef f():\n    return torch.nn.ReLU(), 'x'\n", "f", "example inputs as an object of type str"),
        ("import torch\ndef f():\n    return torch.nn.ReLU(), ()\n", "f", "example inputs as a tuple of 0"),
        ("import torch\ndef f():\n    return torch.nn.ReLU(), [1]\n", "f", "example input 0 is an object of type int"),
        ("import torch\ndef f():\n    return torch.nn.ReLU(), torch.tensor(1)\n", "f", "has no batch dimension"),
        ("import torch\nf = torch.nn.ReLU()\n", "f", "is a network, not a factory"),
        ("def f(width): ...\n", "f", "argument 'width' is required; add ?width=VALUE"),
        ("def f(width=1): ...\n", "f?depth=2", "unknown argument 'depth'; accepted: width"),
        ("def f(): ...\n", "f?depth=2", "it takes no arguments"),
        (
            "import models\ndef f():\n    return models.nothing\n",
            "f",
            "AttributeError: module 'models' has no attribute",
        ),
    ],
)
def test_wrong_files(project: Project, source: str, name: str, expected: str) -> None:
    root = project({"net.py": source})
    assert expected in error_of(f"{root}/net.py:{name}")


def test_wrong_paths(project: Project) -> None:
    root = project({"net.txt": "", "folder.py/x": "", "binary.py": ""})
    (root / "binary.py").write_bytes(b"\x00\xff\x00")
    assert "no such file" in error_of(f"{root}/missing.py:f")
    assert "is a folder" in error_of(f"{root}/folder.py:f")
    assert "cannot be loaded" in error_of(f"{root}/binary.py:f")
    with pytest.raises(ModelError, match="unknown provider"):
        models.create(f"{root}/net.txt:f")
    with pytest.raises(ModelError, match="is not a Python file"):
        models.load_function(f"{root}/net.txt:f")


@pytest.mark.skipif(os.geteuid() == 0, reason="every file is readable for root")
def test_an_unreadable_file(project: Project) -> None:
    root = project({"net.py": NET})
    (root / "net.py").chmod(0)
    assert "cannot be read" in error_of(f"{root}/net.py:Net")


def test_a_fresh_process_finds_the_users_models_first(project: Project) -> None:
    """Also where none of our modules beyond the entry point was imported before the user's file."""
    root = project(
        {"models.py": NET, "compress/__init__.py": "X = 1\n", "net.py": "from models import Net\nimport compress\n"}
    )
    code = "import models; print(type(models.create('net.py:Net')).__name__, models.create('models:resnet8').linear)"
    environment = {**os.environ, "PYTHONPATH": str(Path(models.__file__).parents[1])}
    code = f"import sys; sys.path.remove('')\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Net Linear(in_features=64")


def test_a_reference_without_a_function_is_named() -> None:
    with pytest.raises(ModelError, match="names no function"):
        models.load_function("own/data.py")
