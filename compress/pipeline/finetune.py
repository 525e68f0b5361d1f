"""The finetune job: a checkpoint, or an architecture with random weights, in; a trained network out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import check_writable
from compress.pipeline.finetuning import (
    Metrics,
    TrainingOptions,
    finetune,
    finish,
    how_to_resume,
    is_first_process,
    load_data,
    measure,
    run_folder,
)
from compress.pipeline.loading import (
    Loading,
    create_program,
    is_reference,
    open_program,
    require_file,
    require_program_suffix,
)
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program


@dataclass(frozen=True)
class FinetuneRequest:
    """Everything that the finetune job needs to know. ``checkpoint`` is a file or a model reference."""

    checkpoint: str
    loading: Loading
    training: TrainingOptions
    data: str
    epochs: int
    teacher: Path | None = None
    output: Path | None = None
    force: bool = False
    restart: bool = False

    @property
    def destination(self) -> Path:
        """The file to write."""
        if self.output is not None:
            return self.output
        if is_reference(self.checkpoint):
            return Path(self.checkpoint.rpartition(":")[2].partition("?")[0] + ".pt2")
        source = Path(self.checkpoint)
        return source.parent / f"{source.stem}.finetuned.pt2"

    def check(self) -> None:
        """Fail before any work starts where the request cannot succeed. Raises :class:`InputError`."""
        if not is_reference(self.checkpoint):
            require_file(Path(self.checkpoint))
        elif self.loading.model is not None:
            raise InputError("--model belongs to a checkpoint", where=self.checkpoint, hint="leave one of the two out")
        if self.teacher is not None:
            require_file(self.teacher)
        require_program_suffix(self.destination)
        check_writable(self.destination, overwrite=self.force)

    def how_to_resume(self) -> str:
        """Return what Ctrl-C should say."""
        return how_to_resume(self.destination, self.epochs)


@dataclass(frozen=True)
class FinetuneOutcome:
    """What was written, the metrics before and after, and the folder with the log."""

    output: Path
    before: Metrics
    after: Metrics
    log: Path

    def as_data(self) -> dict[str, Any]:
        """Return the outcome as JSON types."""
        return {"output": str(self.output), "before": self.before, "after": self.after, "log": str(self.log)}


def run(request: FinetuneRequest, reporter: Reporter) -> FinetuneOutcome:
    """Do the whole job. Raises :class:`compress.errors.CompressError`; only the training state is written then."""
    request.check()
    program = _open(request, reporter)
    teacher = open_program(request.teacher, Loading(), reporter) if request.teacher else None
    source = load_data(request.data, program, request.training, reporter)
    before = measure(program, source, request.training, "accuracy before", reporter)
    program, after, _ = finetune(
        program,
        source,
        request.training,
        epochs=request.epochs,
        teacher=teacher,
        folder=run_folder(request.destination),
        restart=request.restart,
        reporter=reporter,
    )
    accuracy = program.info.metrics.get("accuracy", {})
    program.info.metrics["accuracy"] = {**accuracy, "data": request.data, "finetuned": after}
    if is_first_process():
        program.save(request.destination, overwrite=request.force)
        finish(run_folder(request.destination))
    return FinetuneOutcome(request.destination, before, after, run_folder(request.destination))


def _open(request: FinetuneRequest, reporter: Reporter) -> Program:
    if is_reference(request.checkpoint):
        return create_program(request.checkpoint, request.loading, request.training.seed, reporter)
    return open_program(Path(request.checkpoint), request.loading, reporter)
