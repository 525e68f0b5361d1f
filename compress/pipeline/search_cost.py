"""Which cost a search minimises: from a latency model, from one calibrated first, or multiply-accumulates."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.report import Screen
from compress.pipeline.search_request import SearchRequest

if TYPE_CHECKING:
    from compress.latency import LatencyModel
    from compress.search.costs import Cost
    from compress.search.encoding import Encoding

_RUNTIME, _SUFFIX = "onnxruntime-cpu", ".latency.json"


def cost_of(request: SearchRequest, encoding: Encoding, screen: Screen) -> tuple[Encoding, Cost]:
    """Return the cost, and the encoding without decisions that the cost does not see.

    Raises:
        compress.errors.CompressError: the model is of another network, device or runtime.
    """
    from compress.search.costs import LatencyCost, MacsCost, without_density

    if request.costing.objective == "macs":
        return encoding, MacsCost(encoding)
    model, file = _model(request, encoding, screen)
    bound = model.bind(encoding.analysis)
    blind = [name for name in without_density(encoding, bound) if name in _free(encoding)]
    if blind:
        if request.deciding.decide == "weights" and len(blind) == len(_free(encoding)):
            raise InputError(
                "the latency model was calibrated for dense weights",
                where=str(file),
                hint="calibrate with --sparse, or search with --decide widths",
            )
        screen.say(f"{len(blind)} layers stay dense: the latency model does not know what zeros in them would save")
        encoding = encoding.holding(densities=blind)
    screen.say(
        f"latency of {model.key.describe()}; median error {100 * model.held_out.error:.1f} % where it was not fitted"
    )
    content = hashlib.sha256(model.content.model_dump_json().encode()).hexdigest()
    return encoding, LatencyCost(encoding, bound, {**model.key.model_dump(mode="json"), "model": content[:16]})


def _free(encoding: Encoding) -> set[str]:
    """The weights whose density there is a choice for."""
    free = encoding.free[len(encoding.widths) :]
    return {gene.weight for gene, chosen in zip(encoding.densities, free, strict=True) if chosen}


def _model(request: SearchRequest, encoding: Encoding, screen: Screen) -> tuple[LatencyModel, Path]:
    from compress.latency import LatencyModel

    costing = request.costing
    file = costing.latency_model or _calibrated(request, encoding, screen)
    model = LatencyModel.load(file)
    model.require(runtime=costing.runtime, threads=costing.threads, where=str(file))
    return model, file


def _calibrated(request: SearchRequest, encoding: Encoding, screen: Screen) -> Path:
    """Calibrate for the network over what the search may choose, or take what was calibrated in the folder before."""
    from compress.pipeline.calibration import CalibrationRequest, Plan, run
    from compress.pipeline.calibration_bench import Conditions
    from compress.search.encoding import CHANNELS

    costing, sparse = request.costing, bool(_free(encoding))
    runtime, threads = costing.runtime or _RUNTIME, costing.threads or 1
    file = request.folder / f"{runtime}.{threads}t{'.4x1' if sparse else ''}{_SUFFIX}"
    if file.exists():
        screen.say(f"predicting with {file}, calibrated before (delete it to calibrate again)")
        return file
    request.folder.mkdir(exist_ok=True)
    screen.say(f"calibrating for {runtime} first, into {file}: --latency-model takes what is calibrated already")
    count = len(encoding.widths)
    plan = Plan(
        step=CHANNELS,
        lowest_width=min(1.0, *encoding.grid.low[:count]),
        lowest_density=min(1.0, *encoding.grid.low[count:]),
        sparse=sparse,
    )
    assert request.checkpoint is not None
    conditions = Conditions(runtime, costing.device or "here", threads)
    run(CalibrationRequest(request.checkpoint, plan, conditions, request.loading, output=file), screen)
    return file
