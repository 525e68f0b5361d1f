"""The sensitivity job: what narrowing each group alone does, as JSON and as one HTML page; goes on where it stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import check_writable, write_text
from compress.pipeline.finetuning import TrainingOptions, load_data, run_folder
from compress.pipeline.loading import Loading, open_program, require_file
from compress.pipeline.report import Screen

if TYPE_CHECKING:
    from compress import Program
    from compress.damage import Point, Sensitivity
    from compress.data import DataSource

STATE_NAME = "sensitivity.json"


@dataclass(frozen=True)
class Scan:
    """What to cut: the arguments of :func:`compress.sensitivity`."""

    keep_ratios: tuple[float, ...] = (0.875, 0.75, 0.5, 0.25)
    criterion: str = "l2"
    aggregation: str = "mean"
    granularity: int = 1
    ignore: tuple[str, ...] = ()
    samples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class SensitivityRequest:
    """Everything that the job needs to know. Without ``outputs`` the page lies beside the checkpoint."""

    checkpoint: Path
    scan: Scan = field(default_factory=Scan)
    loading: Loading = field(default_factory=Loading)
    data: str | None = None
    outputs: tuple[Path, ...] = ()
    force: bool = False
    restart: bool = False

    @property
    def destinations(self) -> tuple[Path, ...]:
        """The files to write."""
        return self.outputs or (self.checkpoint.parent / f"{self.checkpoint.stem}.sensitivity.html",)

    @property
    def state(self) -> Path:
        """Where the points measured so far are kept."""
        return run_folder(self.destinations[0]) / STATE_NAME

    def check(self) -> None:
        """Fail before any work starts where the request cannot succeed. Raises :class:`CompressError`."""
        from compress.importance import criterion

        require_file(self.checkpoint)
        for path in self.destinations:
            check_writable(path, overwrite=self.force)
        if criterion(self.scan.criterion).needs_data and not self.data:
            raise InputError(
                f"--criterion {self.scan.criterion} needs --data", hint="give --data, or use --criterion l2"
            )

    def how_to_resume(self) -> str:
        """Return what Ctrl-C should say."""
        return f"run the same command again to go on (state in {self.state.parent})"


def run(request: SensitivityRequest, screen: Screen) -> Sensitivity:
    """Do the whole job. Raises :class:`compress.errors.CompressError`; only the state is written then."""
    import compress

    request.check()
    program = open_program(request.checkpoint, request.loading, screen)
    options = TrainingOptions(seed=request.scan.seed)
    source = load_data(request.data, program, options, screen) if request.data else None
    state = _State(request.state, _identity(request, program, source), forget=request.restart)
    if state.points:
        screen.say(f"going on after {len(state.points)} cuts from {request.state.parent} (--restart starts over)")
    with screen.bar("scanning") as progress:

        def done(share: float, point: Point) -> None:
            state.add(point)
            progress(share, f"{point.group} at {point.kept} of {point.width}")

        result = compress.sensitivity(program, **vars(request.scan), data=source, known=state.points, progress=done)
    for path in request.destinations:
        write_text(path, _rendered(result, path, request.checkpoint.name), overwrite=request.force)
    state.forget()
    return result


def _rendered(result: Sensitivity, path: Path, name: str) -> str:
    if path.suffix == ".json":
        return json.dumps(result.to_json(), indent=1) + "\n"
    from compress.pipeline.sensitivity_page import render

    return render(result, name)


def _identity(request: SensitivityRequest, program: Program, source: DataSource | None) -> dict[str, Any]:
    """Everything that the points depend on, by name, as JSON holds it."""
    scan: dict[str, Any] = json.loads(json.dumps(vars(request.scan)))
    return scan | {"program": program.fingerprint(), "data": source.fingerprint if source is not None else None}


class _State:
    """The points measured so far, in a file that is replaced after each."""

    def __init__(self, path: Path, identity: dict[str, Any], *, forget: bool) -> None:
        self._path, self._identity = path, identity
        self.points: list[Point] = []
        if path.exists() and not forget:
            self.points = list(self._read())

    def _read(self) -> Iterator[Point]:
        from compress.damage import Point
        from compress.training.state import check_identity

        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            points = [Point(**{**entry, "layers": tuple(entry["layers"])}) for entry in found["points"]]
            recorded = found["identity"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"cannot be read as the state of a scan ({type(error).__name__})",
                where=str(self._path),
                hint="remove it to start over, or give --restart",
            ) from error
        check_identity(self._path, recorded, self._identity)
        yield from points

    def add(self, point: Point) -> None:
        """Remember a point, on disk too."""
        if all(point.key != known.key for known in self.points):
            self.points.append(point)
            self._path.parent.mkdir(exist_ok=True)
            document = {"identity": self._identity, "points": [asdict(known) for known in self.points]}
            write_text(self._path, json.dumps(document))

    def forget(self) -> None:
        """Drop the file, and its folder where nothing else is in it."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a folder with other things in it stays
            self._path.parent.rmdir()
