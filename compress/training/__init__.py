"""Finetuning on captured graphs, batch-norm re-estimation and evaluation."""

from compress.training.batch_norm import reestimate_batch_norm
from compress.training.config import FinetuneConfig, config_of
from compress.training.evaluation import evaluate
from compress.training.finetuning import FinetuneResult, finetune
from compress.training.stopping import Interrupted

__all__ = [
    "FinetuneConfig",
    "FinetuneResult",
    "Interrupted",
    "config_of",
    "evaluate",
    "finetune",
    "reestimate_batch_norm",
]
