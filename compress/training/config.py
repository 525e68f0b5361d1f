"""Everything that decides a finetuning run, in one validated model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from compress.errors import InputError

DEFAULT_LR = {"sgd": 0.01, "adamw": 5e-4}


class FinetuneConfig(BaseModel):
    """Settings of one run. The same settings, data and network give the same weights, bit for bit.

    ``batch_size`` counts samples over all processes. ``lr`` is the peak after warm-up; None takes 0.01 for SGD and
    0.0005 for AdamW. ``clip_norm`` bounds the norm of the whole gradient; None leaves it. ``ema`` is the decay of the
    moving average of weights and buffers, which is then what is validated and returned. With a teacher the loss is
    ``(1 - distill_alpha) * loss + distill_alpha * T**2 * KL(teacher || student)`` at temperature T. ``loss`` and
    ``metric`` take ``file.py:function``; ``metric`` also takes top1, top5 and loss. ``save_every_steps`` bounds what a
    kill can lose. ``batch_norm_batches`` re-estimates batch-norm statistics over so many batches before the first step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=10, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0, allow_inf_nan=False)
    warmup_epochs: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    aux_weight: float = Field(default=0.3, ge=0, allow_inf_nan=False)
    precision: Literal["no", "bf16", "fp16"] = "no"
    clip_norm: float | None = Field(default=5.0, gt=0, allow_inf_nan=False)
    ema: float | None = Field(default=None, gt=0, lt=1)
    distill_alpha: float = Field(default=0.5, ge=0, le=1)
    distill_temperature: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=128, ge=1)
    eval_batch_size: int = Field(default=256, ge=1)
    seed: int = Field(default=0, ge=0)
    loss: str | None = None
    metric: str | None = None
    metric_mode: Literal["max", "min"] | None = None
    batch_norm_batches: int = Field(default=0, ge=0)
    save_every_steps: int = Field(default=200, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _warms_up_before_the_end(self) -> FinetuneConfig:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs is {self.warmup_epochs:g}, more than the {self.epochs} epochs")
        return self

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up."""
        return self.lr if self.lr is not None else DEFAULT_LR[self.optimizer]

    @property
    def best_by(self) -> str:
        """The name of the validation figure that decides which epoch is the best; "" for the user's own metric."""
        if self.metric is None:
            return "loss" if self.loss is not None else "top1"
        return self.metric if self.metric in ("top1", "top5", "loss") else ""

    @property
    def best_is_lowest(self) -> bool:
        """Whether a lower validation figure is better: for a loss, unless ``metric_mode`` says otherwise."""
        return self.best_by == "loss" if self.metric_mode is None else self.metric_mode == "min"


def config_of(**settings: Any) -> FinetuneConfig:
    """Return a :class:`FinetuneConfig`.

    Raises:
        InputError: a setting is unknown or out of range; all of them are named.
    """
    try:
        return FinetuneConfig(**settings)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise InputError("; ".join(faults), where="finetuning") from error
