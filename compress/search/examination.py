"""Judging candidates by the shared weights: the loss on held-out samples, with batch norm's statistics of their own.

Source: Zhao et al. 2021 (JCW): before a candidate is judged its statistics are averaged anew over training batches; the
proxy is the mean cross entropy on held-out images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch

from compress.data.randomness import draw_seed
from compress.data.source import Batch, DataSource
from compress.search.encoding import Candidate
from compress.search.slimming import Slim
from compress.search.supernet import SuperNet
from compress.training.evaluation import to_device
from compress.training.losses import CrossEntropy, Loss

MEMORY = 2 << 30
"""Bytes of batches that are kept; beyond it they are read anew. Of networks that are judged by one reading, too."""
_STATISTICS = ("running_mean", "running_var")
_PROBE = 2.0**20
Reader = Callable[[], Iterator[Batch]]


class Examination:
    """What every candidate is judged on, read once and kept for all of them.

    Args:
        supernet: whose candidates are judged, on the device that its tensors are on.
        data: its training part gives the statistics' batches, augmented as in training; its held-out part the loss.
        statistics: training batches that batch norm is averaged over; 0 leaves the whole network's.
        batch_size: of both.
        samples: so many held-out samples, from all over them; all where None.
        seed: of the order of the training batches.
        loss: cross entropy where None.
    """

    def __init__(
        self,
        supernet: SuperNet,
        data: DataSource,
        *,
        statistics: int = 10,
        batch_size: int = 256,
        samples: int | None = None,
        seed: int = 0,
        loss: Loss | None = None,
    ) -> None:
        self._supernet, self._data, self._loss = supernet, data, loss or CrossEntropy()
        self._statistics, self._batch_size, self._samples, self._seed = statistics, batch_size, samples, seed
        self._device = next(iter(supernet.program.tensors.values())).device
        self._training = _Batches(self._read_training)
        self._held_out = _Batches(self._read_held_out)
        self._momenta = self._probed() if statistics else {}

    @property
    def is_kept(self) -> bool:
        """Whether all batches are in memory. Else it pays to judge several candidates by one reading."""
        return self._training.kept and self._held_out.kept

    def loss(self, candidate: Candidate) -> float:
        """Return the candidate's mean loss on the held-out samples."""
        return self.losses([candidate])[0]

    def losses(self, candidates: Sequence[Candidate]) -> list[float]:
        """Return the mean loss of each on the held-out samples, the same as of each alone.

        Every batch is read once for as many candidates as there is memory for.
        """
        whole = sum(tensor.numel() * tensor.element_size() for tensor in self._supernet.program.tensors.values())
        together = max(1, MEMORY // max(whole, 1))
        found: list[float] = []
        with torch.no_grad():
            for start in range(0, len(candidates), together):
                found += self._judged(candidates[start : start + together])
        return found

    def _judged(self, candidates: Sequence[Candidate]) -> list[float]:
        statistics = self._averaged(candidates)
        slims = [self._supernet.slim(candidate, training=False) for candidate in candidates]
        for slim, own in zip(slims, statistics, strict=True):
            for name, value in own.items():
                slim.buffers[name].copy_(value)
        totals, count = [0.0] * len(slims), 0.0
        for batch in self._held_out():
            for at, slim in enumerate(slims):
                totals[at] += float(self._loss(slim(*batch.inputs), batch.target)) * len(batch)
            count += len(batch)
        return [total / count for total in totals]

    def _averaged(self, candidates: Sequence[Candidate]) -> list[dict[str, torch.Tensor]]:
        """Plain averages of each candidate's statistics over the training batches, by name."""
        if not self._momenta:
            return [{} for _ in candidates]
        slims = [self._supernet.slim(candidate, training=True) for candidate in candidates]
        sums = [{name: torch.zeros_like(slim.buffers[name]) for name in self._momenta} for slim in slims]
        count = 0
        for batch in self._training():
            for slim, own in zip(slims, sums, strict=True):
                for name, value in self._pass(slim, batch, count, 0.0).items():
                    own[name] += value
            count += 1
        return [{name: total / (self._momenta[name] * count) for name, total in own.items()} for own in sums]

    def _probed(self) -> dict[str, float]:
        """The momentum of every statistic that training updates; see :mod:`compress.training.batch_norm`."""
        encoding = self._supernet.encoding
        slim = self._supernet.slim(encoding.decode(encoding.grid.high), training=True, dense=True)
        before = {name: value.clone() for name, value in slim.buffers.items() if name.rpartition(".")[2] in _STATISTICS}
        first = next(self._training(), None)
        if first is None or not before:
            return {}
        with torch.no_grad():
            slim(*first.inputs)
            moved = {name for name, value in before.items() if not torch.equal(slim.buffers[name], value)}
            layers = {name.rpartition(".")[0] for name in moved}
            names = [name for name in before if name.rpartition(".")[0] in layers]
            low = self._pass(slim, first, 0, 0.0, names)
            high = self._pass(slim, first, 0, _PROBE, names)
        return {name: float(1 - ((high[name].double() - low[name].double()) / _PROBE).mean()) for name in names}

    def _pass(
        self, slim: Slim, batch: Batch, step: int, start: float, names: list[str] | None = None
    ) -> dict[str, torch.Tensor]:
        """What a training pass that begins with statistics of ``start`` makes of them."""
        wanted = names if names is not None else list(self._momenta)
        for name in wanted:
            slim.buffers[name].fill_(start)
        torch.manual_seed(draw_seed(self._seed, step, "statistics"))
        slim(*batch.inputs)
        return {name: slim.buffers[name].clone() for name in wanted}

    def _read_training(self) -> Iterator[Batch]:
        batches = self._data.training.epoch(self._batch_size, seed=self._seed, epoch=0)
        return map(self._moved, islice(batches, self._statistics))

    def _read_held_out(self) -> Iterator[Batch]:
        split = self._data.validation
        few = self._samples is not None
        return map(
            self._moved,
            split.spread(self._batch_size, self._samples or 0) if few else split.in_order(self._batch_size),
        )

    def _moved(self, batch: Batch) -> Batch:
        inputs = tuple(value.to(self._device) for value in batch.inputs)
        return Batch(inputs, to_device(batch.target, self._device), batch.total)


class _Batches:
    """What ``read`` gives, from memory where there is room for all of it: then it is ``kept``."""

    def __init__(self, read: Reader) -> None:
        self._read, self._held, self.kept = read, list[Batch](), True
        size = 0
        for batch in read():
            size += sum(value.numel() * value.element_size() for value in batch.inputs)
            if size > MEMORY:
                self._held, self.kept = [], False
                break
            self._held.append(batch)

    def __call__(self) -> Iterator[Batch]:
        """Begin anew."""
        return iter(self._held) if self.kept else self._read()
