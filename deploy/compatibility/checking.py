"""Which file runs where: every file in every runtime and for every compute capability, each answer from a trial."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compress.errors import InputError
from deploy import environment, runtimes
from deploy.compatibility import trial
from deploy.compatibility.asking import Answer, ask
from deploy.compatibility.compiling import CAPABILITIES, Compilations, Compiler
from deploy.compatibility.elsewhere import Elsewhere
from deploy.compatibility.records import Cell, Matrix
from deploy.compatibility.reference import Reference, compute, deviation
from deploy.compatibility.subject import Inputs, Subject, declared, opened
from deploy.devices.base import Device
from deploy.devices.local import LocalDevice

Progress = Callable[[float, str], None]
_ELSEWHERE = {
    "onnxruntime-cuda": "NVIDIA GPU",
    "onnxruntime-tensorrt": "NVIDIA GPU",
    "tensorrt": "NVIDIA GPU",
    "tensorrt-rtx": "NVIDIA GPU",
    "onnxruntime-coreml": "Apple device",
}


@dataclass(frozen=True)
class Trials:
    """How files are tried. ``timeout`` in seconds, for each trial.

    ``sizes`` are those of dynamic dimensions beside the batch, by name, or as ``"input:axis"``; each file takes those
    that it has.
    """

    threads: int = 1
    sizes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    timeout: float = 300.0


def check(
    files: Sequence[str | os.PathLike[str]],
    *,
    runtimes: Sequence[str] = (),
    capabilities: Sequence[str] = CAPABILITIES,
    compiler: Compiler | None = None,
    devices: Sequence[Device] = (),
    trials: Trials | None = None,
    progress: Progress | None = None,
) -> Matrix:
    """Return a cell for every file in every runtime, and for every compute capability where there is a compiler.

    Everything is tried in processes of its own: what a runtime refuses, crashes or hangs on is an answer. Where a file
    is refused its operators are tried alone, and copies of it in other opsets and types.

    Args:
        runtimes: names; all that are known where none is given.
        compiler: compiles a file ahead of time.
        devices: where to try; here unless given. On others it is tried whether a file runs, and no more.
        progress: called with the share done, 0 to 1, and what is being done.

    Raises:
        InputError: a file is missing or damaged, a dynamic dimension has no size, or a runtime or capability is
            unknown; before anything is tried.
        UnavailableError: a device cannot be reached.
    """
    how = trials or Trials()
    known = _known(runtimes)
    labels = _labels([Path(path) for path in files])
    inputs = {path: declared(path) for path in labels}
    _check_sizes(how.sizes, inputs)
    inputs = {path: None if found is None else found.filled(how.sizes, how.seed) for path, found in inputs.items()}
    where = [_place(device) for device in devices or [LocalDevice()]]
    compiled = len(capabilities) if compiler is not None else 0
    work = _Progress(progress, len(labels) * (len(known) * len(where) + compiled))
    cells: list[Cell] = []
    for path, label in labels.items():
        with opened(path, label, inputs[path]) as subject:
            for place in where:
                cells += (
                    _Row(subject, how).cells(known, work) if place is None else _there(place, subject, known, how, work)
                )
            if compiler is not None:
                compilations = Compilations(subject, compiler, how.timeout)
                for capability in capabilities:
                    work.step(f"{label} for compute capability {capability}")
                    cells.append(compilations.cell(capability))
    return Matrix(cells=cells)


def _place(device: Device) -> Elsewhere | None:
    """Return what is known of a device; None for this machine, of which all can be known."""
    return None if isinstance(device, LocalDevice) else Elsewhere(device, device.describe())


def _there(
    place: Elsewhere, subject: Subject, known: Mapping[str, str | None], how: Trials, work: _Progress
) -> Iterator[Cell]:
    work.step(f"{subject.label} on {place.name}", len(known))
    yield from place.cells(
        subject,
        known,
        threads=how.threads,
        sizes=how.sizes,
        seed=how.seed,
        timeout=how.timeout,
        progress=lambda share, text: work.say(f"{subject.label} on {place.name}: {text}"),
    )


class _Row:
    """One file in all runtimes of this machine."""

    def __init__(self, subject: Subject, how: Trials) -> None:
        self.subject = subject
        self.how = how
        self._reference: Reference | None = None

    def cells(self, known: Mapping[str, str | None], work: _Progress) -> Iterator[Cell]:
        """Yield the cells, runtime by runtime."""
        for name, why_not in known.items():
            work.step(f"{self.subject.label} in {name}")
            yield self._absent(name, why_not) or self._tried(name, work)

    def _absent(self, name: str, why_not: str | None) -> Cell | None:
        device = _ELSEWHERE.get(name) or environment.processor()
        cell = Cell(file=self.subject.label, runtime=name, device=device, outcome="not tested here", reason=why_not)
        if why_not is not None:
            return cell
        suffixes = runtimes.suffixes(name)
        if self.subject.path.suffix.lower() not in suffixes:
            cell.reason = f"it reads {' and '.join(suffixes)} files"
            return cell
        return None

    def _tried(self, name: str, work: _Progress) -> Cell:
        subject, how = self.subject, self.how
        feeds, outputs = subject.feeds(), subject.folder / f"{name}.npz"
        runnable = subject.inputs is None or feeds is not None
        asked = {
            "path": os.path.abspath(subject.path),
            "runtime": name,
            "threads": how.threads,
            "run": runnable,
            "feeds": None if feeds is None else str(feeds),
            "outputs": str(outputs),
            "seed": how.seed,
        }
        answer = ask(trial.RUN, asked, timeout=how.timeout)
        device = _ELSEWHERE.get(name) or environment.processor()
        cell = Cell(file=subject.label, runtime=name, device=device, outcome="runs", measured=True)
        if answer.value is None:
            return self._failed(cell, answer, work)
        cell.version, cell.device = answer.value["version"], answer.value["device"]
        if not runnable:
            assert subject.inputs is not None
            cell.outcome, cell.measured = "not tested here", False
            cell.reason = f"it loads, but {subject.inputs.missing}"
            return cell
        return self._ran(cell, answer.value, outputs, work)

    def _ran(self, cell: Cell, found: Mapping[str, object], outputs: Path, work: _Progress) -> Cell:
        placement = found.get("placement")
        reasons = []
        if isinstance(placement, Mapping):
            cell.nodes = sum(len(nodes) for nodes in placement.values())
            cell.fallbacks = {
                name: list(nodes) for name, nodes in placement.items() if name != found["provider"] and nodes
            }
        if cell.fallbacks:
            cell.outcome = "runs in part"
            fallen = ", ".join(f"{len(nodes)} in {name}" for name, nodes in cell.fallbacks.items())
            reasons.append(f"of {cell.nodes} nodes {fallen}")
        if self._reference is None:
            work.say(f"{self.subject.label}: reference")
            self._reference = compute(self.subject, timeout=self.how.timeout)
        if self._reference.outputs is not None:
            cell.error, odd = deviation(outputs, self._reference.outputs)
            cell.reference = self._reference.how
            reasons += [odd] if odd else []
        else:
            reasons.append(f"error unknown: {self._reference.missing}")
        cell.reason = "; ".join(reasons) or None
        return cell

    def _failed(self, cell: Cell, answer: Answer, work: _Progress) -> Cell:
        cell.reason = self._said(answer)
        if answer.ended == "unavailable":
            cell.outcome, cell.measured = "not tested here", False
            return cell
        assert answer.ended is not None
        cell.outcome = answer.ended
        if answer.ended == "refused" and self.subject.model is not None:
            self._explain(cell, work)
        return cell

    def _explain(self, cell: Cell, work: _Progress) -> None:
        """Find by trial what the runtime does not take, and what it would."""
        from deploy.compatibility import probing, remedies

        subject, timeout = self.subject, self.how.timeout
        assert subject.model is not None
        work.say(f"{subject.label} in {cell.runtime}: trying its operators one by one")
        found = probing.unsupported(subject, cell.runtime, timeout=timeout)
        cell.unsupported = list(found.unsupported)
        standings = [probing.standing(name, subject.model) for name in found.unsupported]
        said = [text for text in standings if text]
        cell.reason = "; ".join([cell.reason or "", *said])
        foreign = bool(standings) and all(text and "no operator of ONNX" in text for text in standings)
        work.say(f"{subject.label} in {cell.runtime}: trying other types and opsets")
        takes = remedies.in_runtime(subject, cell.runtime, timeout=timeout)
        cell.needs = remedies.find(
            subject.model, takes, versions=not found.control, opsets=0 if foreign else remedies.MOST_OPSETS
        )

    def _said(self, answer: Answer) -> str:
        """The runtime's words, without this machine's folders."""
        text = f"{answer.reason}; {answer.hint}" if answer.hint else answer.reason
        for folder in {str(self.subject.path.parent), str(self.subject.path.resolve().parent)} - {"."}:
            text = text.replace(f"{folder}{os.sep}", "")
        return text


class _Progress:
    """Tells which of so many equal steps is under way."""

    def __init__(self, tell: Progress | None, steps: int) -> None:
        self._tell = tell
        self._steps = steps
        self._done = self._begun = 0

    def step(self, what: str, steps: int = 1) -> None:
        """Begin what counts for so many steps."""
        self._done, self._begun = self._done + self._begun, steps
        self.say(what)

    def say(self, what: str) -> None:
        """Tell what the step under way does now."""
        if self._tell is not None:
            self._tell(self._done / max(1, self._steps), what)


def _known(names: Sequence[str]) -> dict[str, str | None]:
    """Return the runtimes asked for, each with the reason why it cannot be used here.

    They are asked in a process of their own: one that is being imported takes Ctrl-C for a fault of its library.
    """
    known = LocalDevice().describe().runtimes
    for name in names:
        if name not in known:
            runtimes.get(name)  # raises, with the name that was probably meant
    return {name: known[name] for name in dict.fromkeys(names or known)}


def _labels(paths: Sequence[Path]) -> dict[Path, str]:
    """Return every file once, with its name, or its path where several files have that name."""
    if not paths:
        raise InputError("no file was given", hint="name at least one")
    once = list(dict.fromkeys(paths))
    names = [path.name for path in once]
    return {path: path.name if names.count(path.name) == 1 else str(path) for path in once}


def _check_sizes(sizes: Mapping[str, int], inputs: Mapping[Path, Inputs | None]) -> None:
    """Raise :class:`InputError` for the size of a dimension that no file has."""
    known = sorted(set().union(*(found.dynamic for found in inputs.values() if found is not None)))
    for name in sizes:
        if name not in known:
            had = ", ".join(known) or "none besides the batch"
            raise InputError(f"no file has a dynamic dimension {name!r}", hint=f"they have: {had}")
