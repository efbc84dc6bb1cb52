"""Help and allowed range of each field of a recipe, by its path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldRule:
    """A line of help, the range of numbers (``above`` and ``below`` exclude the end), choices.

    ``or_zero`` also allows 0, for "off".
    """

    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    or_zero: bool = False
    choices: tuple[str, ...] = ()

    def holds(self, value: float) -> bool:
        """Whether a number is in the range."""
        if self.or_zero and value == 0:
            return True
        return not (
            (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
        )

    @property
    def range_text(self) -> str:
        """The range in words after a blank; empty without a range."""
        zero = " 0 or" if self.or_zero else ""
        if self.low is not None and self.high is not None:
            return f"{zero} from {self.low} to {self.high}"
        low = f" at least {self.low}" if self.low is not None else ""
        low = f" above {self.above}" if self.above is not None else low
        high = f" at most {self.high}" if self.high is not None else ""
        high = f" below {self.below}" if self.below is not None else high
        return f"{zero}{' and'.join(each for each in (low, high) if each)}"


# torch takes seeds of 64 bits; the seed of a step is computed from this one.
_MAX_SEED = 2**32 - 1
_STEPS = "steps between"

RULES: dict[str, FieldRule] = {
    "name": FieldRule("the run's name in logs"),
    "start": FieldRule("checkpoint: Hub id, directory, nano, or scratch:base|large|nano"),
    "text_from": FieldRule("BART or Florence-2 checkpoint for the language model"),
    "image_size": FieldRule(
        "width,height in pixels; multiples of 32, of nano 16", low=16, high=4096
    ),
    "trainable": FieldRule("the weights that are trained"),
    "task_weights": FieldRule("sampling weight by task: task_weights.<OD>=2", low=0, high=1000),
    "precision": FieldRule("compute precision; weights stay fp32"),
    "gradient_checkpointing": FieldRule("less memory, a third more time"),
    "layout": FieldRule("layout of the checkpoints that are written"),
    "max_target_tokens": FieldRule("max target tokens; longer examples are skipped", low=3),
    "max_skipped_steps": FieldRule("max consecutive steps with non-finite gradients", low=0),
    "seed": FieldRule(
        "seed of order, dropout, augmentation, initial weights", low=0, high=_MAX_SEED
    ),
    "batch.size": FieldRule("examples of one optimizer step, over all processes", low=1),
    "batch.micro": FieldRule("examples in one forward pass", low=1),
    "optimizer.kind": FieldRule("muon is for training from scratch"),
    "optimizer.learning_rate": FieldRule("peak learning rate", above=0),
    "optimizer.betas": FieldRule("Adam's two betas", low=0, below=1),
    "optimizer.epsilon": FieldRule("Adam's epsilon", above=0),
    "optimizer.weight_decay": FieldRule("of matrices; biases and norms have none", low=0),
    "optimizer.clip_norm": FieldRule("max norm of the gradient; 0 is off", low=0),
    "optimizer.muon_factor": FieldRule("Muon's rate over the learning rate", above=0),
    "schedule.epochs": FieldRule("epochs, used when samples is none", above=0),
    "schedule.samples": FieldRule("length in examples, instead of epochs", low=1),
    "schedule.warmup_steps": FieldRule("steps of linear warm-up, at most half of the run", low=0),
    "schedule.shape": FieldRule("learning rate after the warm-up"),
    "schedule.final": FieldRule("final share of the peak learning rate", low=0, high=1),
    "lora.rank": FieldRule("rank of the adapters", low=1, high=4096),
    "lora.alpha": FieldRule("scale of the adapters", low=1),
    "lora.dropout": FieldRule("dropout before the adapters", low=0, below=1),
    "lora.rank_stabilized": FieldRule("scale by alpha / sqrt(rank), not alpha / rank"),
    "lora.parts": FieldRule("where adapters go", choices=("vision_encoder", "encoder", "decoder")),
    "augmentation.flip": FieldRule("probability of a mirror image", low=0, high=1),
    "augmentation.crop": FieldRule("probability of a crop", low=0, high=1),
    "augmentation.smallest_crop": FieldRule("min share of a side that is kept", above=0, high=1),
    "augmentation.scale_jitter": FieldRule("max growth of the canvas", low=0),
    "regularization.drop_path": FieldRule("rate; none keeps the checkpoint's", low=0, below=1),
    "regularization.dropout": FieldRule("rate; none keeps the checkpoint's", low=0, below=1),
    "regularization.attention_dropout": FieldRule("rate; none keeps it", low=0, below=1),
    "regularization.activation_dropout": FieldRule("rate; none keeps it", low=0, below=1),
    "auxiliary.location_smoothing_sigma": FieldRule("deviation of soft locations, in bins", low=0),
    "auxiliary.final_location_smoothing_sigma": FieldRule("that deviation at the end", low=0),
    "auxiliary.dense_weight": FieldRule("weight of the dense loss; 0 is off", low=0),
    "auxiliary.dense_only": FieldRule("train by the dense loss alone"),
    "auxiliary.dense_area_weight_power": FieldRule(
        "0 weights cells alike, 1 objects alike", low=0, high=1
    ),
    "auxiliary.dense_categories": FieldRule("class names of the dense loss"),
    "auxiliary.char_loss_weight": FieldRule("weight of the characters of every cell", low=0),
    "auxiliary.attention_loss_weight": FieldRule("weight of cross-attention supervision", low=0),
    "auxiliary.encoder_probe_weight": FieldRule("weight of the dense loss in the encoder", low=0),
    "auxiliary.char_level_tasks": FieldRule("tasks whose targets are character-level"),
    "auxiliary.polygon_vertices": FieldRule(
        "vertices of resampled polygons; 0 keeps the labels'", low=3, or_zero=True
    ),
    "auxiliary.prompts_per_image": FieldRule("prompts of one image, endless data only", low=1),
    "auxiliary.curriculum": FieldRule("levels of synthetic images by first sample", low=0),
    "reporting.log_every": FieldRule(f"{_STEPS} lines of the log; 0 is never", low=0),
    "reporting.checkpoint_every": FieldRule(f"{_STEPS} checkpoints; 0 is never", low=0),
    "reporting.checkpoint_minutes": FieldRule("minutes between checkpoints; 0 is never", low=0),
    "reporting.sample_every": FieldRule(f"{_STEPS} sample grids; 0 is never", low=0),
    "reporting.evaluate_every": FieldRule(f"{_STEPS} evaluations; none: once an epoch", low=0),
    "reporting.keep_checkpoints": FieldRule("number of checkpoints kept", low=1),
    "reporting.metric": FieldRule("metric that selects best: loss, or a validation metric"),
    "reporting.higher_is_better": FieldRule("whether a higher metric is better"),
}

# Names of these fields in other programs.
ALIASES: dict[str, str] = {
    "lr": "optimizer.learning_rate",
    "lr0": "optimizer.learning_rate",
    "wd": "optimizer.weight_decay",
    "optim": "optimizer.kind",
    "max_grad_norm": "optimizer.clip_norm",
    "epochs": "schedule.epochs",
    "num_train_epochs": "schedule.epochs",
    "num_epochs": "schedule.epochs",
    "max_steps": "schedule.samples",
    "steps": "schedule.samples",
    "warmup": "schedule.warmup_steps",
    "scheduler": "schedule.shape",
    "lr_scheduler": "schedule.shape",
    "lr_scheduler_type": "schedule.shape",
    "batch": "batch.size",
    "batch_size": "batch.size",
    "bs": "batch.size",
    "micro_batch_size": "batch.micro",
    "per_device_train_batch_size": "batch.micro",
    "gradient_accumulation_steps": "batch.micro",
    "accumulate": "batch.micro",
    "model": "start",
    "checkpoint": "start",
    "weights": "start",
    "imgsz": "image_size",
    "resolution": "image_size",
    "size": "batch.size",
    "amp": "precision",
    "fp16": "precision",
    "bf16": "precision",
    "dtype": "precision",
    "freeze": "trainable",
    "max_length": "max_target_tokens",
    "max_new_tokens": "max_target_tokens",
    "max_tokens": "max_target_tokens",
    "r": "lora.rank",
    "lora_r": "lora.rank",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
    "target_modules": "lora.parts",
    "drop_path_rate": "regularization.drop_path",
    "fliplr": "augmentation.flip",
    "logging_steps": "reporting.log_every",
    "save_steps": "reporting.checkpoint_every",
    "save_period": "reporting.checkpoint_every",
    "eval_steps": "reporting.evaluate_every",
    "save_total_limit": "reporting.keep_checkpoints",
    "metric_for_best_model": "reporting.metric",
    "greater_is_better": "reporting.higher_is_better",
}
