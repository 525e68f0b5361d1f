"""Runtimes by name: this package's, and plug-ins of other distributions, some of them broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from compress.errors import InputError, UnavailableError
from deploy import runtimes

ROOT = Path(__file__).parents[3]

TOY = '''
from pathlib import Path

from compress.errors import InputError
from deploy.runtimes import Description, Runtime, Session, onnx_graph


class Kind:
    name = "none"


class Toy(Runtime):
    """ONNX files by the onnx package's own evaluator."""

    name = "toy"

    def why_not(self):
        return None

    def prepare(self):
        import onnx.reference

    def load(self, path, *, threads):
        self.check(path, threads)
        return ToySession(path, threads)


class ToySession(Session):
    def __init__(self, path, threads):
        from onnx.reference import ReferenceEvaluator

        self.path, self.threads = path, threads
        self.inputs = onnx_graph.read(path).declared
        try:
            self.evaluator = ReferenceEvaluator(str(path))
        except Exception as error:
            raise InputError(" ".join(str(error).split()), where=str(path)) from error

    def run(self, feeds):
        self.check_feeds(feeds)
        return self.evaluator.run(None, dict(feeds))

    def describe(self):
        import onnx

        return Description("toy", onnx.__version__, "numpy", self.threads, {})
'''


def install(folder: Path, entries: dict[str, str], **modules: str) -> None:
    """What pip leaves behind: modules, and a dist-info folder with the entry points."""
    info = folder / "toy_runtimes-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-runtimes\nVersion: 1.2\n")
    lines = [f"[{runtimes.GROUP}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))


def python(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(home)])}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=home)


def test_a_plug_in_of_another_distribution_is_a_runtime(tmp_path: Path, net: Path) -> None:
    install(tmp_path, {"toy": "toy:Toy"}, toy=TOY)
    code = """
        import sys
        from pathlib import Path
        import numpy as np
        from deploy import runtimes
        assert runtimes.names()["toy"] is None
        assert runtimes.available()[-1] == "toy"
        session = runtimes.get("toy").load(Path(sys.argv[1]), threads=1)
        print(session.run({"input": np.ones((2, 3, 24, 24), np.float32)})[0].shape, session.describe().version)
    """
    done = python("-c", textwrap.dedent(code), str(net), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(2, 16, 1, 1) 1.")


def test_broken_plug_ins_are_told_and_the_others_work(tmp_path: Path) -> None:
    entries = {
        "absent": "nowhere:Thing",
        "crashing": "crashing:Thing",
        "none": "toy:Kind",
        "misnamed": "toy:Toy",
        "unsure": "unsure:Unsure",
        "abstract": "unsure:Abstract",
        "onnxruntime-cpu": "toy:Toy",
    }
    crashing = "raise RuntimeError('no licence found\\nsecond line')"
    unsure = """
        from toy import Toy
        from deploy.runtimes import Runtime
        class Unsure(Toy):
            name = "unsure"
            def why_not(self):
                raise OSError("the driver is gone")
        class Abstract(Runtime):
            name = "abstract"
    """
    install(tmp_path, entries, toy=TOY, crashing=crashing, unsure=unsure)
    code = """
        import json
        from compress.errors import UnavailableError
        from deploy import runtimes
        names = runtimes.names()
        said = {}
        for name in names:
            try:
                runtimes.get(name)
            except UnavailableError as error:
                said[name] = str(error)
        print(json.dumps([names, said]))
    """
    done = python("-c", textwrap.dedent(code), home=tmp_path)
    assert done.returncode == 0, done.stderr
    names, said = json.loads(done.stdout)
    reasons = {
        "absent": "its plug-in nowhere:Thing is broken (ModuleNotFoundError: No module named 'nowhere')",
        "crashing": "its plug-in crashing:Thing is broken (RuntimeError: no licence found)",
        "none": "its plug-in toy:Kind is broken (TypeError: Kind is no subclass of deploy.runtimes.Runtime)",
        "misnamed": "its plug-in toy:Toy is broken (TypeError: it calls itself 'toy')",
        "unsure": "its plug-in unsure:Unsure is broken (OSError: the driver is gone)",
        "onnxruntime-cpu (toy:Toy)": "the name is taken by deploy.runtimes.onnxruntime_cpu:OnnxRuntimeCpu",
    }
    assert {name: names[name] for name in reasons} == reasons
    assert "abstract" in names["abstract"]
    assert names["onnxruntime-cpu"] is None
    assert all(reason in said[name] for name, reason in reasons.items())
    assert "onnxruntime-cpu" not in said


MUTANTS = """
    import numpy as np
    from compress.errors import InputError
    from deploy.certification import RuntimeContract
    from toy import Toy, ToySession

    import pytest
    from deploy.runtimes import OperatorTiming

    class Contract(RuntimeContract):
        session = ToySession
        untold = frozenset({"times", "placement"})

        @pytest.fixture
        def runtime(self):
            session = self.session
            class Mutant(Toy):
                def load(self, path, *, threads):
                    self.check(path, threads)
                    return session(path, threads)
            return Mutant()

        def test_it_is_known_by_its_name_and_says_that_it_is_here(self):
            pytest.skip("mutants are not registered")

    class TestHalf(Contract):
        class session(ToySession):
            def run(self, feeds):
                return [output.astype(np.float16).astype(output.dtype) for output in super().run(feeds)]

    class TestShared(Contract):
        class session(ToySession):
            memory = {}
            def run(self, feeds):
                found = []
                for index, output in enumerate(super().run(feeds)):
                    place = self.memory.setdefault((index, output.shape), output)
                    place[...] = output
                    found.append(place)
                return found

    class TestTrusting(Contract):
        class session(ToySession):
            def check_feeds(self, feeds):
                feeds = {name: feeds.get(name, 0) for name in feeds}

    class TestSwapped(Contract):
        class session(ToySession):
            def run(self, feeds):
                return super().run(feeds)[::-1]

    class TestForgetful(Contract):
        class session(ToySession):
            def describe(self):
                from dataclasses import replace
                return replace(super().describe(), threads=1, settings={"file": str(self.path)})

    class TestSilent(Contract):
        untold = frozenset()

    class TestLying(Contract):
        untold = frozenset()

        class session(ToySession):
            def operator_times(self, feeds, *, runs=20):
                return [OperatorTiming("all", "Network", 0.001, ("nobody",), ("nowhere",))]
            def placement(self):
                return {"here": ["stem/Conv"], "there": ["stem/Conv"]}
"""


def test_a_third_party_certifies_its_runtime_and_faults_are_found(tmp_path: Path) -> None:
    install(tmp_path, {"toy": "toy:Toy"}, toy=TOY)
    contract = """
        from deploy.certification import RuntimeContract

        class TestToy(RuntimeContract):
            name = "toy"
            untold = frozenset({"times", "placement"})
    """
    (tmp_path / "test_toy.py").write_text(textwrap.dedent(contract))
    (tmp_path / "test_mutants.py").write_text(textwrap.dedent(MUTANTS))
    # Those that take long only where it is their fault that is looked for.
    chosen = "TestToy or TestForgetful or (TestLying and not threads) or not (threads or add_up or in_one or layers)"
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rf", "-k", chosen, ".", home=tmp_path)
    failed = [line.split()[1].partition("::")[2] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    found: dict[str, set[str]] = {}
    for test in failed:
        kind, _, name = test.partition("::")
        found.setdefault(kind, set()).add(name.partition("[")[0])
    closeness = "test_it_computes_what_the_file_says"
    assert "TestToy" not in found, done.stdout
    assert closeness in found["TestHalf"]
    assert found["TestShared"] == {"test_outputs_stay_what_they_were_and_inputs_too"}
    assert "test_missing_inputs_are_refused" in found["TestTrusting"]
    assert "test_wrong_inputs_are_refused_and_right_ones_still_run" in found["TestTrusting"]
    assert found["TestSwapped"] == {closeness}
    assert found["TestForgetful"] >= {
        "test_it_describes_itself_completely",
        "test_no_more_threads_compute_than_were_asked_for",
    }
    assert found["TestSilent"] == {"test_the_times_of_wrong_inputs_are_refused"}
    assert found["TestLying"] == {
        "test_times_of_operators_add_up_to_a_run",
        "test_operators_are_the_files_nodes_and_the_checkpoints_layers",
        "test_the_times_of_wrong_inputs_are_refused",
        "test_every_node_is_in_one_place",
    }


def test_a_known_runtime_that_is_not_here_lists_those_that_are() -> None:
    absent = next(name for name, reason in runtimes.names().items() if reason is not None)
    with pytest.raises(UnavailableError, match="available on this machine: onnxruntime-cpu") as raised:
        runtimes.get(absent)
    assert raised.value.exit_code == 4


def test_a_mistyped_runtime_is_a_wrong_input() -> None:
    with pytest.raises(InputError, match="did you mean onnxruntime-cpu"):
        runtimes.get("onnxruntime-cpuu")
