"""Which cost a search minimises: from a latency model, from one calibrated first, or multiply-accumulates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.report import Screen
from compress.pipeline.search_request import SearchRequest

if TYPE_CHECKING:
    from compress.latency import LatencyModel
    from compress.search.costs import Cost
    from compress.search.encoding import Encoding


def cost_of(request: SearchRequest, encoding: Encoding, screen: Screen) -> tuple[Encoding, Cost]:
    """Return the cost, and the encoding without decisions that the cost does not see.

    Raises:
        compress.errors.CompressError: the model is of another network, device or runtime.
    """
    from compress.search.costs import LatencyCost, MacsCost, without_density

    if request.costing.objective == "macs":
        return encoding, MacsCost(encoding)
    model = _model(request, screen)
    bound = model.bind(encoding.analysis)
    blind = [name for name in without_density(encoding, bound) if name in _free(encoding)]
    if blind:
        if len(blind) == len(_free(encoding)) and request.deciding.decide == "weights":
            raise InputError(
                "the latency model was calibrated for dense weights",
                where=str(request.costing.latency_model),
                hint="calibrate with --sparse, or search with --decide widths",
            )
        screen.say(f"{len(blind)} layers stay dense: the latency model does not know what zeros in them would save")
        encoding = encoding.holding(densities=blind)
    screen.say(f"latency of {model.key.describe()}; median error {model.held_out.error:.1%} where it was not fitted")
    return encoding, LatencyCost(encoding, bound, model.key.model_dump(mode="json"))


def _free(encoding: Encoding) -> set[str]:
    """The weights whose density there is a choice for."""
    free = encoding.free[len(encoding.widths) :]
    return {gene.weight for gene, chosen in zip(encoding.densities, free, strict=True) if chosen}


def _model(request: SearchRequest, screen: Screen) -> LatencyModel:
    from compress.latency import LatencyModel

    costing = request.costing
    if costing.latency_model is None:
        raise InputError(
            "a search for latency needs a latency model",
            hint="give --latency-model FILE (compress calibrate makes it), or --objective macs",
        )
    model = LatencyModel.load(costing.latency_model)
    model.require(runtime=costing.runtime, threads=costing.threads, where=str(costing.latency_model))
    return model
