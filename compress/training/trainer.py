"""The training loop: every random number comes from seed, epoch and step, so that stopping anywhere changes nothing."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch

from compress.data.randomness import draw_seed
from compress.data.source import Batch, DataSource
from compress.errors import InputError
from compress.masks import Mask
from compress.program import Program
from compress.sparsity.during import SparsityInTraining
from compress.sparsity.gradual import masks_as_state, masks_from_state
from compress.training import state
from compress.training.config import FinetuneConfig
from compress.training.ema import Ema, restore, snapshot, untied
from compress.training.evaluation import measure, to_device
from compress.training.history import Row, write_history
from compress.training.losses import Outputs, check_labels, distillation, main_output, training_loss, validation_loss
from compress.training.metrics import Tally, scorer_maker
from compress.training.optimizers import build_optimizer, learning_rate
from compress.training.processes import Processes
from compress.training.progress import ProgressBar
from compress.training.stopping import Interrupted, StopRequest


class Trainer:
    """Trains a copy of ``program`` and keeps the state of the run in ``folder``."""

    def __init__(
        self,
        program: Program,
        data: DataSource,
        config: FinetuneConfig,
        *,
        teacher: Program | None,
        folder: Path,
        processes: Processes,
        identity: dict[str, Any],
        sparsity: SparsityInTraining | None = None,
    ) -> None:
        self._data = data
        self._config = config
        self._folder = folder
        self._processes = processes
        self._identity = identity
        self._loss = training_loss(config)
        self._validation_loss = validation_loss(config.loss)
        self._make_scorer = scorer_maker(config.metric, config.loss)
        self._classes = program.outputs[0].shape[1] if config.loss is None else None
        self._steps = data.training.steps(config.batch_size, processes.share)

        self._program = program.copy()
        self.growing = sparsity.begin(self._program, config.epochs, self._steps) if sparsity else None
        module = self._program.module(training=True).to(processes.device)
        self._parameters = [value for value in module.parameters() if value.requires_grad]
        self._model, self._optimizer = processes.prepare(module, build_optimizer(self._parameters, config))
        self._ema = Ema(self._program, config.ema, processes.device) if config.ema is not None else None
        self._teacher: torch.nn.Module | None = None
        if teacher is not None and config.distill_alpha > 0:
            self._teacher = teacher.copy().module(training=False).to(processes.device)

        self._epoch = 0
        self._step = 0
        self._saved: tuple[int, int] | None = None
        self._seconds = 0.0
        self._tally = Tally()
        self.history: list[Row] = []
        self.best: dict[str, Any] = {}

    def run(self, *, quiet: bool) -> None:
        """Train to the last epoch from wherever the state stands.

        Raises:
            Interrupted: Ctrl-C; the state is saved.
            InputError: the loss is no longer finite; the last good state stays.
        """
        total = self._config.epochs * self._steps
        done = self._epoch * self._steps + self._step
        quiet = quiet or not self._processes.first
        with StopRequest() as stop, ProgressBar("training", total, done=done, quiet=quiet) as bar:
            try:
                while self._epoch < self._config.epochs:
                    self._train_epoch(stop, bar)
                    self._finish_epoch(stop, bar)
            except KeyboardInterrupt:
                # Stopped within a step: what is in memory may be half done, what is on disk is whole.
                raise self._interrupted() from None

    def _train_epoch(self, stop: StopRequest, bar: ProgressBar) -> None:
        config = self._config
        self._model.train()
        batches = self._data.training.epoch(
            config.batch_size, seed=config.seed, epoch=self._epoch, start=self._step, share=self._processes.share
        )
        began = time.monotonic()
        for batch in batches:
            stopping = self._train_step(batch, stop)
            self._step += 1
            bar.advance(self._tally.means(), f"epoch {self._epoch + 1}/{config.epochs}")
            if stopping or self._step % config.save_every_steps == 0:
                self._seconds += time.monotonic() - began
                began = time.monotonic()
                self._save()
            if stopping:
                raise self._interrupted()
        self._seconds += time.monotonic() - began

    def _train_step(self, batch: Batch, stop: StopRequest) -> bool:
        """Take one optimizer step; return whether any process was asked to stop."""
        config, processes = self._config, self._processes
        number = self._epoch * self._steps + self._step
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(config, number, self._steps)
        if self._classes is not None:
            check_labels(batch.target, self._classes, self._data.ref)
        inputs = tuple(value.to(processes.device) for value in batch.inputs)
        target = to_device(batch.target, processes.device)
        torch.manual_seed(draw_seed(config.seed, self._epoch, self._step, processes.share.rank, "step"))
        outputs = self._model(*inputs)
        loss = self._loss(outputs, target)
        if self._teacher is not None:
            loss = self._with_teacher(loss, inputs, outputs)
        stopping = self._count(loss, outputs, target, len(batch), stop)
        # Processes average their gradients; the weight makes that the gradient of the mean over the whole batch.
        assert batch.total is not None
        weight = len(batch) * processes.share.processes / batch.total
        self._optimizer.zero_grad()
        processes.accelerator.backward(loss * weight if weight != 1 else loss)
        if config.clip_norm is not None:
            processes.accelerator.clip_grad_norm_(self._parameters, config.clip_norm)
        if self.growing is not None and self.growing.needs_gradients:
            if config.clip_norm is None:
                processes.accelerator.unscale_gradients()
            self.growing.observe(self._program)
        self._optimizer.step()
        self._mask(number + 1)
        if self._ema is not None:
            self._ema.update(self._program.tensors, number + 1)
        return stopping

    def _mask(self, step: int) -> None:
        """Keep what the masks leave out at zero: momentum from before a weight was masked would still move it."""
        if self.growing is not None and self.growing.update(self._program, step):
            if self._ema is not None:
                self._ema.program.set_masks(self._program.masks)
        else:
            self._program.apply_masks()

    def _with_teacher(self, loss: torch.Tensor, inputs: tuple[torch.Tensor, ...], outputs: Outputs) -> torch.Tensor:
        config = self._config
        assert self._teacher is not None
        with torch.no_grad(), self._processes.accelerator.autocast():
            wanted = self._teacher(*inputs)
        wanted = main_output(wanted).float()
        distance = distillation(outputs, wanted, config.distill_temperature)
        return (1 - config.distill_alpha) * loss + config.distill_alpha * distance

    def _count(self, loss: torch.Tensor, outputs: Outputs, target: Any, count: int, stop: StopRequest) -> bool:
        """Add the step to the epoch's figures, over all processes; refuse a loss that is not finite."""
        correct = math.nan
        if self._classes is not None and not target.is_floating_point():
            counted = target != -100
            hits = (main_output(outputs).detach().argmax(1) == target) & counted
            correct = float(hits.sum()) / max(int(counted.sum()), 1)
        mean = float(loss.detach())
        sums = self._processes.summed([mean * count, correct * count, count, float(stop.wanted)])
        if not math.isfinite(sums[0]):
            raise self._not_finite("the loss")
        self._tally.add("loss", sums[0] / sums[2], sums[2])
        if math.isfinite(sums[1]):
            self._tally.add("top1", sums[1] / sums[2], sums[2])
        return sums[3] > 0

    def _finish_epoch(self, stop: StopRequest, bar: ProgressBar) -> None:
        """Validate, keep the best, log, save."""
        config, processes = self._config, self._processes
        kept = self._ema.program if self._ema is not None else self._program
        processes.share_buffers(self._program)
        processes.share_buffers(kept)
        began = time.monotonic()
        figures = measure(
            kept.module(training=False),
            self._data,
            self._validation_loss,
            self._make_scorer,
            batch_size=config.eval_batch_size,
            device=processes.device,
            share=processes.share,
            total=processes.add_up,
            between=lambda: self._stop_in_validation(stop),
        )
        score = figures[config.best_by] if config.best_by in figures else next(iter(figures.values()))
        is_best = self._is_best(score) and self._masks_final()
        row: Row = {"epoch": self._epoch + 1, "lr": self._optimizer.param_groups[0]["lr"]}
        row |= {f"train_{name}": value for name, value in self._tally.means().items()}
        row |= {f"val_{name}": value for name, value in figures.items() if name != "samples"}
        row |= {"best": is_best, "seconds": round(self._seconds + time.monotonic() - began, 3)}
        self.history.append(row)
        if is_best:
            self.best = {"epoch": self._epoch + 1, "score": score, "metrics": figures}
            if processes.first:
                state.write(self._folder / state.BEST_NAME, {**self.best, "tensors": snapshot(kept)})
        self._epoch, self._step, self._seconds, self._tally = self._epoch + 1, 0, 0.0, Tally()
        self._save()
        if processes.first:
            write_history(self._folder, self.history, self._identity)
        bar.say(_line(row))

    def _masks_final(self) -> bool:
        """An epoch before the masks are final has too few zeros to be the best."""
        return self.growing is None or self.growing.is_final((self._epoch + 1) * self._steps)

    def _is_best(self, score: float) -> bool:
        if not math.isfinite(score):
            raise self._not_finite("the validation figure")
        if not self.best:
            return True
        before: float = self.best["score"]
        return score < before if self._config.best_is_lowest else score > before

    def _stop_in_validation(self, stop: StopRequest) -> None:
        # Several processes validate different numbers of batches and cannot agree in between; they stop a step later.
        if stop.wanted and self._processes.share.processes == 1:
            self._save()
            raise self._interrupted()

    def _save(self) -> None:
        if not all(bool(torch.isfinite(value).all()) for value in self._parameters):
            raise self._not_finite("a weight")
        if self._processes.first:
            content = {
                "identity": self._identity,
                "epoch": self._epoch,
                "step": self._step,
                "seconds": self._seconds,
                "sums": self._tally.sums,
                "tensors": snapshot(self._program),
                "ema": snapshot(self._ema.program) if self._ema is not None else None,
                "optimizer": self._optimizer.state_dict(),
                "scaler": self._processes.scaler_state(),
                "history": self.history,
                "best": self.best,
            }
            if self.growing is not None:
                content |= {"masks": masks_as_state(self._program), "sparsity": self.growing.state()}
            state.write(self._folder / state.NAME, content)
        self._processes.wait()
        self._saved = (self._epoch, self._step)

    def resume(self, content: dict[str, Any]) -> None:
        """Go on from what :func:`compress.training.state.read` returned."""
        if self.growing is not None:
            masks = masks_from_state(content["masks"])
            self._program.set_masks(masks)
            self.growing.restore(self._program, content["sparsity"])
            if self._ema is not None:
                self._ema.program.set_masks(masks)
        restore(self._program, content["tensors"])
        if self._ema is not None:
            restore(self._ema.program, content["ema"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._processes.load_scaler(content["scaler"])
        self._epoch, self._step, self._seconds = content["epoch"], content["step"], content["seconds"]
        self._tally.sums = {name: list(sums) for name, sums in content["sums"].items()}
        self.history, self.best = list(content["history"]), content["best"]
        self._saved = (self._epoch, self._step)

    @property
    def masks(self) -> dict[str, Mask]:
        """The masks as they are now."""
        return self._program.masks

    def best_tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights of the best epoch."""
        self._processes.wait()
        tensors: dict[str, torch.Tensor] = state.read(self._folder / state.BEST_NAME)["tensors"]
        missing = set(untied(self._program)) - set(tensors)
        assert not missing, missing
        return tensors

    def _interrupted(self) -> Interrupted:
        if self._saved is None:
            return Interrupted("stopped before anything was saved; run the same command again to start over")
        epoch, step = self._saved
        return Interrupted(
            f"stopped in epoch {self._epoch + 1} of {self._config.epochs}; the state after {step} of {self._steps} "
            f"steps of epoch {epoch + 1} is kept in {self._folder}",
            hint="run the same command again to go on from there",
        )

    def _not_finite(self, what: str) -> InputError:
        good = f"; the weights of epoch {self.best['epoch']} are kept in {state.BEST_NAME}" if self.best else ""
        return InputError(
            f"{what} is not finite in epoch {self._epoch + 1}, step {self._step + 1} of {self._steps}{good}",
            where=str(self._folder),
            hint="start over with a lower learning rate, a lower clip_norm or precision no",
        )


def _line(row: Row) -> str:
    figures = [f"{name} {value:.4f}" for name, value in row.items() if name.startswith(("train_", "val_"))]
    return f"epoch {row['epoch']}: {', '.join(figures)}{' (best)' if row['best'] else ''}"
