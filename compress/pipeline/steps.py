"""What happens between the steps of a pruning in several: statistics are estimated anew, and some epochs trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.pipeline.finetuning import TrainingOptions, finetune
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program
    from compress.data import DataSource


def shared_epochs(epochs: int, steps: int) -> tuple[int, int]:
    """Share ``epochs`` out: (after each step but the last, at the end). The end gets at least twice a step's part."""
    each = epochs // (steps + 1) if steps > 1 else 0
    return each, epochs - (steps - 1) * each


def step_folder(folder: Path, step: int) -> Path:
    """Return where the training after ``step`` keeps its state, inside the run's ``folder``."""
    return folder / f"step{step}"


@dataclass(frozen=True)
class BetweenSteps:
    """Called after every step but the last. A training that was finished before is taken from its state."""

    dense: Program
    source: DataSource
    training: TrainingOptions
    steps: int
    epochs: int
    folder: Path
    restart: bool
    reporter: Reporter

    def __call__(self, smaller: Program, step: int) -> Program:
        """Return the network that the next step looks at.

        Raises:
            compress.errors.CompressError: as :func:`compress.pipeline.finetuning.finetune`.
        """
        from compress.training import reestimate_batch_norm

        share = smaller.count().macs / max(self.dense.count().macs, 1)
        self.reporter.say(f"step {step} of {self.steps}: {share:.1%} of the MACs left")
        reestimate_batch_norm(smaller, self.source, seed=self.training.seed)
        if not self.epochs:
            return smaller
        trained, _, _ = finetune(
            smaller,
            self.source,
            self.training,
            epochs=self.epochs,
            teacher=self.dense,
            folder=step_folder(self.folder, step),
            restart=self.restart,
            reporter=self.reporter,
        )
        return trained
