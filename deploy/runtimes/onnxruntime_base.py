"""What all providers of ONNX Runtime have in common (https://onnxruntime.ai/docs/api/python)."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from compress import operators
from compress.errors import InputError, UnavailableError
from deploy.runtimes import fusion, onnx_graph, onnxruntime_probe, onnxruntime_trace
from deploy.runtimes.base import Array, Description, InputSpec, OperatorTiming, Runtime, Session, first_line

CPU = "CPUExecutionProvider"
_SETTINGS = {
    "graph optimisation": "all",
    "execution": "sequential",
    # Idle workers of one session would otherwise spin on the cores that the other session is measured on.
    "session.force_spinning_stop": "1",
}
_RECORD = "session.record_ep_graph_assignment_info"
_WARM_UP = 3
_NEWER_FILE = "compress compatibility tells which opset it would take; a newer ONNX Runtime may take the file as it is"


class OnnxRuntime(Runtime):
    """ONNX files in ONNX Runtime with one execution provider; what that does not support runs on the CPU provider."""

    provider: ClassVar[str]
    package: ClassVar[str]
    """What to install for it."""

    def lacks(self) -> str | None:
        """Return what the provider needs besides its package and is not here; None where nothing is missing."""
        return None

    def settings(self, threads: int) -> dict[str, str]:
        """Return the provider's own options for ``threads`` threads."""
        return {}

    def why_not(self) -> str | None:
        missing = self.package if " " in self.package else f"pip install {self.package}"
        if importlib.util.find_spec("onnxruntime") is None:
            return f"onnxruntime is not installed: {missing}"
        if self.provider == CPU:
            return None
        try:
            import onnxruntime
        except Exception as error:  # noqa: BLE001 - a broken installation raises anything, and that is the reason
            return f"onnxruntime cannot be imported ({first_line(error)})"
        if self.provider not in onnxruntime.get_available_providers():
            return self.lacks() or f"the onnxruntime that is installed was built without {self.provider}: {missing}"
        return self.lacks() or onnxruntime_probe.why_not(self.provider)

    def prepare(self) -> None:
        importlib.import_module("onnxruntime")

    def load(self, path: Path, *, threads: int) -> Session:
        self.check(path, threads)
        return OnnxRuntimeSession(self, path, threads)

    def open(self, path: Path, threads: int, **extra: Any) -> Any:
        """Return an ``onnxruntime.InferenceSession`` of ``path``; ``extra`` are further attributes of its options.

        Raises:
            InputError: ONNX Runtime cannot load the file.
            UnavailableError: it left the provider out, whatever its package promised.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4  # failures arrive as exceptions; logging them too would say them twice
        options.add_session_config_entry("session.force_spinning_stop", _SETTINGS["session.force_spinning_stop"])
        for name, value in extra.items():
            if name == "record":
                options.add_session_config_entry(_RECORD, value)
            else:
                setattr(options, name, value)
        operators.register(options, path)
        chosen: list[Any] = [CPU] if self.provider == CPU else [(self.provider, self.settings(threads)), CPU]
        if self.provider not in onnxruntime.get_available_providers():
            raise self._cannot_start()
        if self.provider != CPU:
            onnxruntime.set_default_logger_severity(4)  # that a provider cannot be made is said below, with its reason
        try:
            # It would otherwise try again on the CPU, here and when a run fails, and say so on standard output only.
            session = onnxruntime.InferenceSession(str(path), options, providers=chosen, enable_fallback=0)
        except Exception as error:  # its exception classes share no narrower base
            if self.provider != CPU and onnxruntime_probe.why_not(self.provider) is not None:
                raise self._cannot_start() from error
            what = first_line(error)
            hint = _NEWER_FILE if re.search(r"IR version|opset", what, re.IGNORECASE) else None
            raise InputError(f"ONNX Runtime cannot load it ({what})", where=str(path), hint=hint) from error
        if self.provider not in session.get_providers():
            raise self._cannot_start()
        return session

    def _cannot_start(self) -> UnavailableError:
        return UnavailableError(
            f"ONNX Runtime cannot start {self.provider} here ({onnxruntime_probe.why_not(self.provider)})",
            hint="install what it needs, or measure with --runtime onnxruntime-cpu",
        )


class OnnxRuntimeSession(Session):
    """A file loaded in ONNX Runtime."""

    def __init__(self, runtime: OnnxRuntime, path: Path, threads: int) -> None:
        import onnxruntime

        self.path = path
        self._runtime = runtime
        self._threads = threads
        self._version: str = onnxruntime.__version__
        # Taking down who runs what costs a little time while loading, and there is nothing to take down on the CPU.
        self._session = runtime.open(path, threads, **({} if runtime.provider == CPU else {"record": "1"}))
        self.inputs = tuple(_spec(argument, path) for argument in self._session.get_inputs())
        if runtime.provider != CPU:
            self._check_provider_is_used()

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        return self._run(self._session, feeds)

    def describe(self) -> Description:
        runtime = self._runtime
        settings = _SETTINGS | runtime.settings(self._threads)
        if runtime.provider != CPU and not hasattr(self._session, "get_provider_graph_assignment_info"):
            settings["use of the provider"] = f"not checked, ONNX Runtime {self._version} does not tell, 1.24 does"
        return Description(runtime.name, self._version, runtime.provider, self._threads, settings)

    def operator_times(self, feeds: Mapping[str, Array], *, runs: int = 20) -> list[OperatorTiming]:
        if runs < 1:
            raise InputError(f"{runs} runs were asked for", hint="give 1 or more")
        try:
            return self._profiled(feeds, runs)
        except (OSError, ValueError, KeyError) as error:
            raise UnavailableError(
                f"ONNX Runtime's profile cannot be written or read ({first_line(error)})",
                hint="see whether the folder for temporary files is full; TMPDIR names another one",
            ) from error

    def _profiled(self, feeds: Mapping[str, Array], runs: int) -> list[OperatorTiming]:
        with tempfile.TemporaryDirectory(prefix="compress-operators-") as folder:
            home = Path(folder)
            session = self._runtime.open(
                self.path, self._threads, enable_profiling=True, profile_file_prefix=str(home / "trace")
            )
            for _ in range(_WARM_UP + runs):
                self._run(session, feeds)
            timed = onnxruntime_trace.read(Path(session.end_profiling()), skipped=_WARM_UP)
            del session
            return self._named(timed, self._optimised(home / "optimised.onnx"))

    def placement(self) -> dict[str, list[str]]:
        graph = onnx_graph.read(self.path)
        found: dict[str, list[str]] = {}
        for provider, nodes in self._assignment(graph):
            found.setdefault(provider, []).extend(nodes)
        return found

    def _run(self, session: Any, feeds: Mapping[str, Array]) -> Sequence[Array]:
        try:
            outputs: Sequence[Array] = session.run(None, feeds)
        except Exception as error:  # as in load
            raise InputError(
                f"ONNX Runtime failed while running it ({first_line(error)})", where=str(self.path)
            ) from error
        return outputs

    def _optimised(self, path: Path) -> onnx_graph.Graph | None:
        """The graph that ONNX Runtime makes of the file; None where a provider compiled parts of it."""
        try:
            self._runtime.open(self.path, self._threads, optimized_model_filepath=str(path))
        except InputError as error:
            if self._runtime.provider != CPU:
                return None
            raise UnavailableError(f"the graph that ONNX Runtime made cannot be written: {error.what}") from error
        return onnx_graph.read(path)

    def _named(self, timed: Sequence[onnxruntime_trace.Timed], made: onnx_graph.Graph | None) -> list[OperatorTiming]:
        file = onnx_graph.read(self.path)
        known: dict[str, tuple[onnx_graph.Node, ...]] = {}
        if made is not None:
            stands = fusion.assign(file, made)
            known = dict(zip((node.name for node in made.nodes), stands))  # noqa: B905 - Python 3.9
            if [one.operator for one in timed] == [node.operator for node in made.nodes]:
                # Nodes without a name are known by their place; those with one may run in another order.
                known = {**dict(zip((one.name for one in timed), stands)), **known}  # noqa: B905 - Python 3.9
        else:
            known = self._compiled(timed, file)
        by_name = {node.name: node for node in file.nodes}
        found = []
        for operator in timed:
            nodes = known.get(operator.name) or tuple(by_name[name] for name in [operator.name] if name in by_name)
            layers = dict.fromkeys(layer for node in nodes for layer in file.layers_of(node))
            names = tuple(node.name for node in nodes)
            found.append(
                OperatorTiming(
                    operator.name, operator.operator, operator.milliseconds, names, tuple(layers), operator.provider
                )
            )
        return found

    def _compiled(
        self, timed: Sequence[onnxruntime_trace.Timed], file: onnx_graph.Graph
    ) -> dict[str, tuple[onnx_graph.Node, ...]]:
        """The nodes in each part that the provider compiled as a whole; it numbers the parts."""
        names = {node.name for node in file.nodes}
        whole = [one.name for one in timed if one.provider == self._runtime.provider and one.name not in names]
        try:
            parts = [nodes for provider, nodes in self._assignment(file) if provider == self._runtime.provider]
        except UnavailableError:
            return {}  # then it is not known, which the contract allows
        if len(parts) != len(whole):
            return {}
        whole.sort(key=_number)
        return {name: tuple(file.nodes_called(nodes)) for name, nodes in zip(whole, parts)}  # noqa: B905 - Python 3.9

    def _assignment(self, graph: onnx_graph.Graph) -> list[tuple[str, list[str]]]:
        session = self._runtime.open(self.path, self._threads, record="1")
        if self._runtime.provider == CPU and not hasattr(session, "get_provider_graph_assignment_info"):
            return [(CPU, [node.name for node in graph.live_nodes()])]  # there is no other to choose from
        if not hasattr(session, "get_provider_graph_assignment_info"):
            raise UnavailableError(
                f"ONNX Runtime {self._version} does not tell which provider runs which node", hint="1.24 and newer do"
            )
        return [
            (part.ep_name, [node.name or node.op_type for node in part.get_nodes()])
            for part in session.get_provider_graph_assignment_info()
        ]

    def _check_provider_is_used(self) -> None:
        """A file that runs on the CPU provider alone must not be measured under another's name."""
        ask = getattr(self._session, "get_provider_graph_assignment_info", None)
        if ask is not None and not any(part.ep_name == self._runtime.provider for part in ask()):
            raise InputError(
                f"{self._runtime.provider} supports none of its nodes, all of them would run on the CPU provider",
                where=str(self.path),
                hint="measure it with --runtime onnxruntime-cpu",
            )


def _number(name: str) -> int:
    found = re.search(r"[0-9]+$", name)
    return int(found[0]) if found else -1


def _spec(argument: Any, path: Path) -> InputSpec:
    kind: str = argument.type
    if not (kind.startswith("tensor(") and kind.endswith(")")):
        raise InputError(f"input {argument.name!r} is a {kind}, only tensors can be generated", where=str(path))
    shape = tuple(size if isinstance(size, int) else (size or "") for size in argument.shape)
    return InputSpec(argument.name, kind[len("tensor(") : -1], shape)
