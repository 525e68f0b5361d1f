"""A data set ready for a network: two splits, and batches that are a pure function of seed, epoch and position."""

from __future__ import annotations

import dataclasses
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from compress.data.images import Indices, LabelledImages
from compress.data.randomness import draw_seed, shuffled
from compress.errors import CompressError, DataError
from compress.info import Preprocessing


@dataclass(frozen=True)
class Batch:
    """Inputs for the network, one tensor each with the batch first; ``target`` is what the loss takes."""

    inputs: tuple[torch.Tensor, ...]
    target: Any
    total: int | None = None
    """For one process's share of a training batch: samples in the whole of it."""

    def __len__(self) -> int:
        return len(self.inputs[0])


@dataclass(frozen=True)
class Share:
    """Which of the processes that share every batch this one is."""

    rank: int = 0
    processes: int = 1


WHOLE = Share()


class Split(ABC):
    """One part of a data set, read in batches."""

    @abstractmethod
    def steps(self, batch_size: int, share: Share = WHOLE) -> int:
        """Return how many training batches one epoch has: an incomplete last batch is left out."""

    @abstractmethod
    def epoch(
        self, batch_size: int, *, seed: int, epoch: int, start: int = 0, share: Share = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        """Yield this process's share of the batches ``start``, ``start + 1`` ... of a shuffled epoch."""

    @abstractmethod
    def in_order(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        """Yield every sample once, in order and unaugmented; process r of n takes batches r, r + n ..."""

    @abstractmethod
    def spread(self, batch_size: int, count: int) -> Iterator[Batch]:
        """Yield ``count`` samples (or all), unaugmented, from all over the split: folders are in the order of their
        classes. A loader, of which nothing is known, gives its first batches.
        """


class IndexedSplit(Split):
    """A map-style data set of ``(input, target)``, or :class:`LabelledImages`, which is read a batch at a time."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset
        self._count = len(dataset)  # type: ignore[arg-type]

    def steps(self, batch_size: int, share: Share = WHOLE) -> int:
        return self._count // self.batch_size(batch_size, share.processes)

    def batch_size(self, asked: int, processes: int) -> int:
        """Return the batch size in use: ``asked``, or what a smaller data set has, shared evenly."""
        return asked if asked <= self._count else max(self._count // processes, 1) * processes

    def epoch(
        self, batch_size: int, *, seed: int, epoch: int, start: int = 0, share: Share = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        size = self.batch_size(batch_size, share.processes)
        order = shuffled(self._count, seed, epoch, "order")
        mine = slice(share.rank * size // share.processes, (share.rank + 1) * size // share.processes)
        key = (seed, epoch) if augment else None
        parts = [order[step * size : (step + 1) * size][mine] for step in range(start, self._count // size)]
        for batch in self._read(parts, key):
            yield dataclasses.replace(batch, total=size)

    def in_order(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        starts = range(share.rank * batch_size, self._count, share.processes * batch_size)
        yield from self._read([np.arange(start, min(start + batch_size, self._count)) for start in starts], None)

    def spread(self, batch_size: int, count: int) -> Iterator[Batch]:
        chosen = np.arange(min(count, self._count)) * self._count // min(count, self._count)
        yield from self._read([chosen[start : start + batch_size] for start in range(0, chosen.size, batch_size)], None)

    def _read(self, parts: list[Indices], key: tuple[int, int] | None) -> Iterator[Batch]:
        if isinstance(self._dataset, LabelledImages):
            return _ahead(self._dataset, parts, key)
        return (self._collated(part, key) for part in parts)

    def _collated(self, indices: Indices, key: tuple[int, int] | None) -> Batch:
        samples = []
        for index in indices:
            _seed_everything(draw_seed(*(key or (0, 0)), int(index), "sample"))
            try:
                samples.append(self._dataset[int(index)])
            except CompressError:
                raise
            except Exception as error:  # the user's own code
                what = " ".join(str(error).split())[:200]
                raise DataError(
                    f"sample {int(index)} of the data set cannot be read ({type(error).__name__}: {what})",
                    where=type(self._dataset).__name__,
                    hint="mend the data set's __getitem__",
                ) from error
        return as_batch(default_collate(samples))


class LoaderSplit(Split):
    """A user's own loader. Its random numbers come from torch, numpy and random, seeded for every batch."""

    def __init__(self, loader: Iterable[Any], where: str) -> None:
        self._loader = loader
        self._where = where

    def steps(self, batch_size: int, share: Share = WHOLE) -> int:
        try:
            return len(self._loader)  # type: ignore[arg-type]
        except TypeError as error:
            raise DataError(
                "the loader has no length, so neither schedule nor time left can be worked out",
                where=self._where,
                hint="give it __len__ (number of batches)",
            ) from error

    def epoch(
        self, batch_size: int, *, seed: int, epoch: int, start: int = 0, share: Share = WHOLE, augment: bool = True
    ) -> Iterator[Batch]:
        sampler = getattr(self._loader, "sampler", None)
        set_epoch = getattr(sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)
        for generator in (getattr(self._loader, "generator", None), getattr(sampler, "generator", None)):
            if isinstance(generator, torch.Generator):
                generator.manual_seed(draw_seed(seed, epoch, "loader"))
        _seed_everything(draw_seed(seed, epoch, "loader"))
        batches = iter(self._loader)
        for step in range(self.steps(batch_size)):
            # Seeded anew for every batch: what the training step in between draws must not shift the loader's numbers.
            _seed_everything(draw_seed(seed, epoch, step, "loader"))
            batch = self._next(batches)
            if step >= start:
                yield self._part(batch, share)

    def in_order(self, batch_size: int, share: Share = WHOLE) -> Iterator[Batch]:
        _seed_everything(0)
        for number, batch in enumerate(self._loader):
            if number % share.processes == share.rank:
                yield as_batch(batch, self._where)

    def spread(self, batch_size: int, count: int) -> Iterator[Batch]:
        for batch in self.in_order(batch_size):
            if count <= 0:
                return
            yield batch if len(batch) <= count else self._cut(batch, count)
            count -= len(batch)

    @staticmethod
    def _cut(batch: Batch, count: int) -> Batch:
        first = slice(count)
        return Batch(tuple(value[first] for value in batch.inputs), _slice(batch.target, first))

    def _part(self, batch: Batch, share: Share) -> Batch:
        count = len(batch)
        if count < share.processes:
            raise DataError(
                f"a batch of {count} cannot be shared by {share.processes} processes",
                where=self._where,
                hint="leave incomplete batches out (drop_last=True)",
            )
        mine = slice(share.rank * count // share.processes, (share.rank + 1) * count // share.processes)
        return Batch(tuple(value[mine] for value in batch.inputs), _slice(batch.target, mine), count)

    def _next(self, batches: Iterator[Any]) -> Batch:
        try:
            return as_batch(next(batches), self._where)
        except StopIteration:
            raise DataError("the loader ended before its length was reached", where=self._where) from None
        except CompressError:
            raise
        except Exception as error:  # the user's own code
            what = " ".join(str(error).split())[:200]
            raise DataError(f"the loader failed ({type(error).__name__}: {what})", where=self._where) from error


@dataclass(frozen=True)
class DataSource:
    """What ``--data`` stands for.

    Attributes:
        ref: the reference it was loaded from.
        train: map-style data set of (tensor, label), or the user's loader.
        val: the same for validation.
        classes: their names in the order of the labels; None where only the user's loader knows.
        preprocessing: how its images become the network's input; None for a user's loaders.
        fingerprint: changes when the files, the split or the preprocessing change.
        notes: what was decided for the user and should be said.
    """

    ref: str
    train: Any
    val: Any
    classes: list[str] | None
    preprocessing: Preprocessing | None
    fingerprint: str
    notes: list[str] = field(default_factory=list)

    @property
    def training(self) -> Split:
        """The training split, read in batches."""
        return self._split(self.train)

    @property
    def validation(self) -> Split:
        """The validation split, read in batches."""
        return self._split(self.val)

    def prepare(self, *, training: bool = True) -> None:
        """Read what is kept in memory now, so that unreadable images are named before work starts.

        Raises:
            DataError: images cannot be read.
        """
        for part in (self.train, self.val) if training else (self.val,):
            if isinstance(part, LabelledImages):
                part.prepare()

    def samples(self, count: int) -> tuple[torch.Tensor, ...]:
        """Return the inputs of the first ``count`` validation samples (fewer if there are fewer), batch first."""
        collected: list[tuple[torch.Tensor, ...]] = []
        for batch in self.validation.in_order(count):
            collected.append(batch.inputs)
            if sum(len(inputs[0]) for inputs in collected) >= count:
                break
        return tuple(torch.cat(parts)[:count] for parts in zip(*collected, strict=True))

    def _split(self, part: Any) -> Split:
        if isinstance(part, Dataset) and hasattr(part, "__getitem__") and hasattr(part, "__len__"):
            return IndexedSplit(part)
        return LoaderSplit(part, self.ref)


def as_batch(batch: Any, where: str | None = None) -> Batch:
    """Read what a loader yields: ``(input, ..., target)`` or ``((input, ...), target)``.

    Raises:
        DataError: it is neither.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise DataError(
            f"a batch is a {type(batch).__name__}, expected (input, target)",
            where=where,
            hint="yield a tuple: the inputs of the network, then the target",
        )
    *inputs, target = batch
    if len(inputs) == 1 and isinstance(inputs[0], (tuple, list)):
        inputs = list(inputs[0])
    for value in inputs:
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            raise DataError(f"an input in a batch is a {type(value).__name__}, expected a tensor", where=where)
    if len({len(value) for value in inputs}) != 1 or len(inputs[0]) == 0:
        sizes = ", ".join(str(len(value)) for value in inputs)
        raise DataError(f"the inputs of a batch have {sizes} samples, expected the same positive number", where=where)
    return Batch(tuple(inputs), target)


def _slice(target: Any, part: slice) -> Any:
    if isinstance(target, torch.Tensor):
        return target[part]
    if isinstance(target, dict):
        return {name: _slice(value, part) for name, value in target.items()}
    if isinstance(target, (list, tuple)) and all(isinstance(value, torch.Tensor) for value in target):
        return type(target)(_slice(value, part) for value in target)
    return target[part]


def _ahead(images: LabelledImages, parts: list[Indices], key: tuple[int, int] | None) -> Iterator[Batch]:
    """Read the next batch on another thread while this one is used: a batch depends on its indices alone."""

    def read(part: Indices) -> Batch:
        pixels, labels = images.batch(part, key)
        return Batch((pixels,), labels)

    with ThreadPoolExecutor(1, thread_name_prefix="batch") as pool:
        waiting: Future[Batch] | None = None
        for part in parts:
            following = pool.submit(read, part)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def _seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
