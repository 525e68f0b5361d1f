"""Which cost a search minimises: from a latency model, from one calibrated first, or multiply-accumulates."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.place import HERE, Place
from compress.pipeline.report import Screen
from compress.pipeline.search_request import SearchRequest

if TYPE_CHECKING:
    from compress.latency import LatencyModel
    from compress.search.costs import Cost
    from compress.search.encoding import Encoding

_RUNTIME = "onnxruntime-cpu"


def cost_of(request: SearchRequest, encoding: Encoding, fingerprint: str, screen: Screen) -> tuple[Encoding, Cost]:
    """Return the cost, and the encoding without decisions that the cost does not see.

    Args:
        fingerprint: of the network in the checkpoint, whose channels are in another order.

    Raises:
        compress.errors.CompressError: the model is of another network, device or runtime.
    """
    from compress.search.costs import LatencyCost, MacsCost, without_density
    from compress.search.paying import paying_widths

    if request.costing.objective == "macs":
        return encoding, MacsCost(encoding)
    model, where = _model(request, encoding, fingerprint, screen)
    bound = model.bind(encoding.analysis)
    blind = [name for name in without_density(encoding, bound) if name in _free(encoding)]
    if blind:
        if request.deciding.decide == "weights" and len(blind) == len(_free(encoding)):
            raise InputError(
                "the latency model was calibrated for dense weights",
                where=where,
                hint="calibrate with --sparse, or search with --decide widths",
            )
        screen.say(f"{len(blind)} layers stay dense: the latency model does not know what zeros in them would save")
        encoding = encoding.holding(densities=blind)
    screen.say(
        f"latency of {model.key.describe()}; median error {100 * model.held_out.error:.1f} % where it was not fitted"
    )
    paying = paying_widths(encoding, bound)
    encoding = encoding.among(paying)
    if encoding.free[: len(encoding.widths)].any():
        screen.say(
            f"widths that pay: {sum(map(len, paying.values()))} in {len(paying)} groups; "
            "what lies between takes as long as the next"
        )
    content = hashlib.sha256(model.content.model_dump_json().encode()).hexdigest()
    return encoding, LatencyCost(encoding, bound, {**model.key.model_dump(mode="json"), "model": content[:16]})


def _free(encoding: Encoding) -> set[str]:
    """The weights whose density there is a choice for."""
    free = encoding.free[len(encoding.widths) :]
    return {gene.weight for gene, chosen in zip(encoding.densities, free, strict=True) if chosen}


def _model(request: SearchRequest, encoding: Encoding, fingerprint: str, screen: Screen) -> tuple[LatencyModel, str]:
    """The model, and the name of its file."""
    from compress.latency import LatencyModel
    from compress.pipeline.calibration import Plan
    from compress.pipeline.latency_model import SUFFIX, calibrated
    from compress.search.encoding import CHANNELS

    costing, sparse = request.costing, bool(_free(encoding))
    if costing.latency_model is not None:
        model = LatencyModel.load(costing.latency_model)
        model.require(runtime=costing.runtime, threads=costing.threads, where=str(costing.latency_model))
        return model, str(costing.latency_model)
    place = Place(costing.runtime or _RUNTIME, costing.threads or 1, costing.device or HERE)
    file = request.folder / f"{place.runtime}.{place.threads}t{'.4x1' if sparse else ''}{SUFFIX}"
    request.folder.mkdir(exist_ok=True)
    count = len(encoding.widths)
    plan = Plan(
        step=CHANNELS,
        lowest_width=min(1.0, *encoding.grid.low[:count]),
        lowest_density=min(1.0, *encoding.grid.low[count:]),
        sparse=sparse,
    )
    assert request.checkpoint is not None
    model = calibrated(
        request.checkpoint, request.loading, place, plan, file=file, fingerprint=fingerprint, screen=screen
    )
    return model, str(file)
