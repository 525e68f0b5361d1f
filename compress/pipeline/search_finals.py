"""Final models of the candidates picked: sliced, trained, drawn to their densities, masked, exported, measured.

Source: Zhao et al. 2021 (JCW), section 5.5 of what is known of it: dense training, ADMM, finetuning of what is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError, UnavailableError
from compress.files import write_text
from compress.pipeline.finetuning import Metrics, finetune, finish, load_data, measure, run_folder
from compress.pipeline.loading import Loading, open_program
from compress.pipeline.report import Screen
from compress.pipeline.search_request import DENSE, SUPERNET, SearchRequest

if TYPE_CHECKING:
    from compress import Program
    from compress.data import DataSource
    from compress.search.encoding import Encoding
    from compress.search.front import Found, Front
    from deploy.records import Profile

FINALS, WHOLE = "finals.json", "dense"
DENSE_ONNX = "dense.onnx"
RUNTIME = "onnxruntime-cpu"
CHECKPOINT, SHARED = "the checkpoint's weights", "the shared weights"


@dataclass(frozen=True)
class Final:
    """A model made of a candidate. ``begun`` says whose weights its training began with; ``measured`` is the p50 in
    milliseconds, ``measured_dense`` the whole network's beside it; None where that failed, for ``why``.
    """

    number: int
    predicted: float
    unit: str
    loss: float
    begun: str
    accuracy: Metrics
    macs: int
    nonzero_macs: int
    network: str
    deployed: str
    measured: float | None = None
    measured_dense: float | None = None
    why: str | None = None

    @property
    def ratio(self) -> float | None:
        """Measured, over the whole network's."""
        return self.measured / self.measured_dense if self.measured and self.measured_dense else None


def make_finals(request: SearchRequest, front: Front, screen: Screen) -> tuple[Final, ...]:
    """Make every model that was picked, in rising cost; what was made before with the same settings is taken.

    Raises:
        compress.errors.CompressError: as training and export do; what was finished stays.
    """
    picked = {found.number: found for pick in request.finals.picks for found in front.pick(pick)}
    workshop = _Workshop.opened(request, front, screen)
    workshop.judge_dense()
    made: list[Final] = []
    for found in sorted(picked.values(), key=lambda found: found.cost):
        screen.say(f"trial {found.number}: predicted {found.cost:.4g} {front.unit} ({found.cost / front.dense:.3f})")
        made.append(workshop.made(found))
    measured = _measured(request, front, workshop.folder, made, screen)
    workshop.record(measured)
    return tuple(measured)


@dataclass(frozen=True)
class _Workshop:
    """What all final models are made with."""

    request: SearchRequest
    front: Front
    screen: Screen
    folder: Path
    dense: Program
    encoding: Encoding
    source: DataSource | None
    known: dict[str, Any]

    @classmethod
    def opened(cls, request: SearchRequest, front: Front, screen: Screen) -> _Workshop:
        """Load the ordered network and the data."""
        from compress.search.encoding import encoding_of

        folder = request.folder
        folder.mkdir(exist_ok=True)
        dense = open_program((request.source or folder) / DENSE, Loading(), screen)
        data = request.data or front.settings.get("data")
        source = load_data(data, dense, request.training, screen) if data else None
        return cls(request, front, screen, folder, dense, encoding_of(dense), source, _known(folder / FINALS))

    def judge_dense(self) -> None:
        """Measure the accuracy of the whole network, once."""
        if self.source is None or WHOLE in self.known:
            return
        what = "accuracy of the whole network"
        self.known[WHOLE] = measure(self.dense, self.source, self.request.training, what, self.screen)
        self._save()

    def made(self, found: Found) -> Final:
        """The model of a candidate, from the record where it was made before."""
        key = self._key(found)
        before = self.known.get(str(found.number))
        if before and before["key"] == key and (self.folder / before["final"]["deployed"]).exists():
            self.screen.say(f"trial {found.number} was made before ({before['final']['network']})")
            return Final(**before["final"])
        program, begun = self._begun(found)
        trained, accuracy = self._trained(program, found)
        name = f"trial{found.number}"
        network = self.folder / f"{name}.pt2"
        self._note(trained, found, begun, accuracy)
        trained.save(network, overwrite=True)
        deployed = _exported(trained, self.folder / f"{name}.onnx", self.source, self.request, self.screen)
        finish(run_folder(network))
        count = trained.count()
        final = Final(
            found.number, found.cost, self.front.unit, found.loss, begun, accuracy, count.macs, count.nonzero_macs,
            network.name, deployed.name,
        )  # fmt: skip
        self.known[str(found.number)] = {"key": key, "final": asdict(final)}
        self._save()
        return final

    def record(self, finals: Sequence[Final]) -> None:
        """Keep what was measured, too."""
        for final in finals:
            self.known[str(final.number)]["final"] = asdict(final)
        self._save()

    def _save(self) -> None:
        write_text(self.folder / FINALS, json.dumps(self.known, indent=1, default=str) + "\n")

    def _key(self, found: Found) -> str:
        """What decides the model."""
        request = self.request
        parts = [found.to_json(), request.finals.epochs, request.finals.rho, request.training.given(), request.data]
        text = json.dumps([*parts, self.dense.fingerprint()], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def _begun(self, found: Found) -> tuple[Program, str]:
        """The candidate's channels (the first of each group, which are those of largest l2 norm), with the weights that
        lose less on held-out data: the checkpoint's, or the shared ones.
        """
        plain = self._sliced(self.dense, found)
        shared = self._shared()
        if shared is None or self.source is None:
            return plain, CHECKPOINT
        from compress.search.teaching import held_out_loss
        from compress.training import reestimate_batch_norm

        choices = {CHECKPOINT: plain, SHARED: self._sliced(shared, found)}
        losses = {}
        for name, program in choices.items():
            reestimate_batch_norm(program, self.source, batches=20, seed=self.request.training.seed)
            losses[name] = held_out_loss(program, self.source)
        begun = min(losses, key=lambda name: losses[name])
        said = ", ".join(f"{name}: loss {loss:.3f}" for name, loss in losses.items())
        self.screen.say(f"first channels in falling l2 norm; {said}: training begins with {begun}")
        return choices[begun], begun

    def _sliced(self, program: Program, found: Found) -> Program:
        """The candidate's channels; what is recorded is the plan of the network in the folder."""
        from compress.pruning import apply_plan

        return apply_plan(program, self.encoding.plan(found.candidate))

    def _shared(self) -> Program | None:
        from compress.training import state

        named = self.front.settings.get("supernet", SUPERNET)
        path = (self.request.source or self.folder) / str(named)
        if not path.exists():
            return None
        program = self.dense.copy()
        tensors = state.read(path)["teacher"]["tensors"]
        names = program.state_dict()
        program.load_state_dict({name: tensors[name] for name in names})
        return program

    def _trained(self, program: Program, found: Found) -> tuple[Program, Metrics]:
        request = self.request
        densities = {name: share for name, share in found.candidate.densities.items() if share < 1}
        if not request.finals.epochs or self.source is None:
            return self._masked(program, densities)
        from compress.sparsity.drawing import AdmmSparsity
        from compress.training import config_of

        folder = run_folder(self.folder / f"trial{found.number}.pt2")
        config = config_of(**request.training.given(), epochs=request.finals.epochs)
        rate = config.peak_lr / (1 - config.momentum)
        sparsity = AdmmSparsity(densities, rho=request.finals.rho, rate=rate) if densities else None
        trained, metrics, _ = finetune(
            program, self.source, request.training, epochs=request.finals.epochs, teacher=self.dense, folder=folder,
            restart=request.finals.restart, reporter=self.screen, sparsity=sparsity,
        )  # fmt: skip
        return trained, metrics

    def _masked(self, program: Program, densities: Mapping[str, float]) -> tuple[Program, Metrics]:
        """Without training: the largest blocks by their L2 norm, and statistics of its own."""
        from compress.sparsity.densities import masks_of
        from compress.training import reestimate_batch_norm

        if densities:
            program.set_masks(masks_of(program, densities, norm=2))
        if self.source is None:
            return program, {}
        reestimate_batch_norm(program, self.source, seed=self.request.training.seed)
        return program, measure(program, self.source, self.request.training, "accuracy without training", self.screen)

    def _note(self, program: Program, found: Found, begun: str, accuracy: Metrics) -> None:
        """Keep in the file what a report needs later."""
        stage = "finetuned" if self.request.finals.epochs and self.source is not None else "batch_norm"
        data = self.source.ref if self.source is not None else None
        program.info.metrics["accuracy"] = {"data": data, stage: accuracy}
        program.info.metrics["search"] = {
            "method": self.front.settings.get("method"), "trial": found.number, "loss": found.loss,
            "predicted": {self.front.cost: found.cost, "unit": self.front.unit, "dense": self.front.dense},
            "begun": begun,
        }  # fmt: skip


def _exported(program: Program, path: Path, source: DataSource | None, request: SearchRequest, screen: Screen) -> Path:
    """Write ONNX, with sparse operators where there are zeros; return the file to deploy."""
    import exporters

    with screen.step(f"exporting {path.name}"):
        samples = source.samples(32) if source is not None else None
        exporters.to_onnx(program, path, samples=samples, overwrite=True)
        if not program.masks:
            return path
        sparse = path.with_suffix(".sparse.onnx")
        exporters.sparsify_onnx(path, sparse, threads=request.costing.threads or 1, overwrite=True)
    return sparse


def _measured(request: SearchRequest, front: Front, folder: Path, made: Sequence[Final], screen: Screen) -> list[Final]:
    """Measure all of them beside the whole network, interleaved."""
    import deploy
    import exporters

    dense = folder / DENSE_ONNX
    if not dense.exists():
        with screen.step(f"exporting {DENSE_ONNX}"):
            exporters.to_onnx(open_program((request.source or folder) / DENSE, Loading(), screen), dense)
    known = front.settings.get("cost", {})
    costing = request.costing
    files = [dense, *(folder / final.deployed for final in made)]
    with screen.bar(f"measuring {len(files)} files") as progress:
        found = deploy.measure(
            files,
            runtimes=(costing.runtime or known.get("runtime", RUNTIME),),
            threads=(costing.threads or known.get("threads", 1),),
            batches=(known.get("batch", 1),),
            seconds=costing.seconds,
            device=costing.device or "here",
            progress=progress,
        )
    times = {profile.file.name: profile.p50.value for profile in found.profiles}
    reasons = {failure.file: f"{failure.kind}: {failure.reason}" for failure in found.failures}
    if not times:
        failure = found.failures[0]
        kind = UnavailableError if failure.kind == "unavailable" else InputError
        raise kind(failure.reason, where=failure.file, hint=failure.hint)
    _keep_profiles(folder, found.profiles)
    return [
        Final(
            **{
                **asdict(final),
                "measured": times.get(final.deployed),
                "measured_dense": times.get(DENSE_ONNX),
                "why": reasons.get(final.deployed) or reasons.get(DENSE_ONNX),
            }
        )
        for final in made
    ]


PROFILES = "profiles.json"


def _keep_profiles(folder: Path, profiles: Sequence[Profile]) -> None:
    """What the report shows of the measurements."""
    write_text(folder / PROFILES, json.dumps([profile.model_dump(mode="json") for profile in profiles]) + "\n")


def dense_accuracy(folder: Path) -> float | None:
    """The whole network's top-1 share, where it was measured for the final models in ``folder``."""
    found = _known(folder / FINALS).get(WHOLE, {}).get("top1")
    return None if found is None else float(found)


def _known(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError("is not JSON", where=str(path), hint="remove it: the models are made again") from error
    if not isinstance(found, dict):
        raise InputError("is no record of final models", where=str(path), hint="remove it: they are made again")
    return found
