"""One process or several: device, mixed precision and sums across processes, through accelerate."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState

from compress.data.source import Share
from compress.errors import InputError, UnavailableError
from compress.program import Program
from compress.training.config import FinetuneConfig
from compress.training.devices import pick_device
from compress.training.metrics import Tally


class Processes:
    """The processes that ``torchrun`` or ``accelerate launch`` started, or this one alone.

    Every process takes an equal share of each batch and gradients are averaged, so the result is that of one process
    up to rounding, except for batch norm: each process normalises with the statistics of its own share, and the running
    statistics of the first process are the ones that are kept, validated and saved.
    """

    def __init__(self, config: FinetuneConfig) -> None:
        """Raises:
        UnavailableError: no CUDA device, or half precision on a CPU.
        InputError: the batch cannot be shared evenly.
        """
        device = pick_device(config.device)
        if config.precision == "fp16" and device.type == "cpu":
            raise UnavailableError("fp16 training needs a GPU", where="--precision fp16", hint="use bf16 or no")
        # accelerate keeps its settings for the life of the process; another run may want others.
        AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            cpu=device.type == "cpu",
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.device: torch.device = self.accelerator.device
        self.share = Share(self.accelerator.process_index, self.accelerator.num_processes)
        if config.batch_size % self.share.processes:
            raise InputError(
                f"a batch of {config.batch_size} cannot be shared evenly by {self.share.processes} processes",
                where="--batch-size",
                hint="choose a multiple (the batch size counts samples over all processes)",
            )

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.share.rank == 0

    def prepare(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        """Return both as training should use them."""
        prepared: tuple[torch.nn.Module, torch.optim.Optimizer] = self.accelerator.prepare(module, optimizer)
        return prepared

    def summed(self, values: list[float]) -> list[float]:
        """Return the sums of ``values`` over the processes."""
        if self.share.processes == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        summed: list[float] = total.tolist()
        return summed

    def add_up(self, tally: Tally) -> None:
        """Turn the tallies of the processes into their common sum."""
        gathered: list[Any] = [None] * self.share.processes
        torch.distributed.all_gather_object(gathered, tally.sums)
        tally.sums = {}
        for sums in gathered:
            for name, (value, weight) in sums.items():
                entry = tally.sums.setdefault(name, [0.0, 0.0])
                entry[0] += value
                entry[1] += weight

    def share_buffers(self, program: Program) -> None:
        """Give every process the first one's buffers (running statistics)."""
        if self.share.processes == 1:
            return
        for name, tensor in sorted(program.tensors.items()):
            if name not in program.parameter_names and name not in program.tied:
                torch.distributed.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Wait until every process has come here."""
        self.accelerator.wait_for_everyone()

    def scaler_state(self) -> dict[str, Any] | None:
        """Return the state of fp16's loss scaler, or None."""
        scaler = self.accelerator.scaler
        return None if scaler is None else dict(scaler.state_dict())

    def load_scaler(self, content: dict[str, Any] | None) -> None:
        """Restore the state of fp16's loss scaler."""
        if content is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(content)
