"""Settings of `kennel train`, typed: what the configuration may say, and of which kind.

Nodes of kind Any hold parts that users swap; they name a `_target_`. Those of Kennel's own
(`kennel.…`) are dataclasses and as typed as the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from importlib import import_module
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kennel.errors import UsageError


@dataclass
class SampleSettings:
    """The drawn pictures that stand in where no photos are named."""

    labels: int = 10
    per_label: int = 60
    seed: int = 0


@dataclass
class CacheSettings:
    """Photos are decoded once, into `paths.cache_dir`.

    Attributes:
        max_gib: for the photos of a run; where raw pixels take more, they are packed.
    """

    max_gib: float = 8.0


@dataclass
class ProgressiveSettings:
    """Training crops that grow: early epochs are cheaper. Validation sees the full side always.

    Attributes:
        start: side of the first epoch as a share of the model's, in (0, 1].
        until: share of the epochs in which they grow, in (0, 1]; the last one has the full side.
        multiple: sides are rounded to multiples of so many pixels, 1 or more.
    """

    start: float = 0.5
    until: float = 0.6
    multiple: int = 32


@dataclass
class DataSettings:
    """Where photos come from and how training varies them.

    Attributes:
        csv: an index that `kennel index` wrote.
        photos: a folder, indexed into the run's own folder. Neither: drawn pictures.
        num_workers: processes that read photos; -1 takes one for each usable core, at most 8, or
            none where the processor itself trains.
        cache: null reads photos from their files each time.
        room: how many times the model's side is kept of a photo for random crops, 1..4.
        progressive: null: training crops have the model's side in every epoch.
        augment: parts of kennel.learn.augment, or your own with its method `vary`.
        mix: MixUp or CutMix on a batch.
    """

    csv: str | None = None
    photos: str | None = None
    sample: SampleSettings = field(default_factory=SampleSettings)
    fractions: list[float] = field(default_factory=lambda: [0.7, 0.1, 0.2])
    seed: int = 0
    batch_size: int = 32
    num_workers: int = -1
    cache: CacheSettings | None = field(default_factory=CacheSettings)
    room: float = 1.25
    progressive: ProgressiveSettings | None = None
    augment: list[Any] = field(default_factory=list)
    mix: Any = None


@dataclass
class RecipeSettings:
    """How the network learns.

    Attributes:
        frozen: the backbone stays as it is; its features are extracted once and only the head
            learns.
        l2: weight of half the squared norm of the head's weights in the loss, >= 0.
        fit_head_first: the head is fitted on frozen features, with `head_l2`, before everything
            learns.
        head_l2: see `l2`; for `fit_head_first`.
        backbone_lr: learning rate of the backbone as a share of the head's, 0 < backbone_lr.
        layer_decay: in (0, 1]; each layer of the backbone has this share of the learning rate of
            the layer above it. 1: all have the same.
        keep_statistics: batch normalisation keeps the statistics that the weights came with; on few
            photos those of small, augmented batches are worse.
        label_smoothing: in [0, 1).
        ema: decay of a moving average of the weights, in [0, 1), lower in the first steps; it is
            what validation measures and what is kept. 0: none.
        class_weights: weighs labels by the inverse of their training photos.
        channels_last: memory layout, faster where convolutions are.
        compile: the network goes through torch.compile.
        compile_backend: which makes the code, such as inductor, aot_eager, cudagraphs.
        diverged_after: optimiser steps with a loss far above guessing that end the run; 0: none do.
    """

    frozen: bool = False
    l2: float = 0.0
    fit_head_first: bool = False
    head_l2: float = 0.0
    backbone_lr: float = 1.0
    layer_decay: float = 1.0
    keep_statistics: bool = False
    label_smoothing: float = 0.0
    ema: float = 0.0
    class_weights: bool = False
    channels_last: bool = True
    compile: bool = False
    compile_backend: str = "inductor"
    diverged_after: int = 100


@dataclass
class PathsSettings:
    """`output_dir` is the run's own folder; `data_dir` takes drawn pictures; `cache_dir` what can
    be made again; `mlflow_dir` what logger=mlflow keeps of all runs.
    """

    output_dir: str = MISSING
    data_dir: str = "data"
    cache_dir: str = ".kennel/cache"
    mlflow_dir: str = "mlruns"


@dataclass
class TrainSettings:
    data: DataSettings = field(default_factory=DataSettings)
    model: Any = MISSING
    recipe: RecipeSettings = field(default_factory=RecipeSettings)
    optimizer: Any = MISSING
    schedule: Any = None
    trainer: Any = MISSING
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    paths: PathsSettings = field(default_factory=PathsSettings)
    seed: int = 0
    ckpt_path: str | None = None


def check_settings(config: DictConfig) -> DictConfig:
    """The same configuration with types: a key or a type that no setting has is refused with its
    full path.

    Raises:
        UsageError: such a key or type, or a number out of its range.
    """
    typed = _merge(OmegaConf.structured(TrainSettings), config, at="")
    grows = typed.data.progressive or ProgressiveSettings()
    for path, fine, range_ in (
        ("data.batch_size", typed.data.batch_size >= 1, "1 or more"),
        ("data.num_workers", typed.data.num_workers >= -1, "-1 or more"),
        ("data.room", 1 <= typed.data.room <= 4, "in 1..4"),
        ("data.cache.max_gib", (typed.data.cache or CacheSettings).max_gib >= 0, "0 or more"),
        ("data.progressive.start", 0 < grows.start <= 1, "in (0, 1]"),
        ("data.progressive.until", 0 < grows.until <= 1, "in (0, 1]"),
        ("data.progressive.multiple", grows.multiple >= 1, "1 or more"),
        ("recipe.label_smoothing", 0 <= typed.recipe.label_smoothing < 1, "in [0, 1)"),
        ("recipe.diverged_after", typed.recipe.diverged_after >= 0, "0 or more"),
        ("recipe.ema", 0 <= typed.recipe.ema < 1, "in [0, 1)"),
        ("recipe.backbone_lr", typed.recipe.backbone_lr > 0, "above 0"),
        ("recipe.layer_decay", 0 < typed.recipe.layer_decay <= 1, "in (0, 1]"),
        ("recipe.l2", typed.recipe.l2 >= 0, "0 or more"),
        ("recipe.head_l2", typed.recipe.head_l2 >= 0, "0 or more"),
        ("seed", 0 <= typed.seed < 2**32, "in 0..4294967295"),
    ):
        if not fine:
            raise UsageError(
                f"setting {path} is {OmegaConf.select(typed, path)}; it must be {range_}.",
                fix="kennel train --cfg job shows every setting",
            )
    _refuse_idle(typed)
    augment = [(f"data.augment[{at}]", node) for at, node in enumerate(typed.data.augment)]
    for key, node in [*config.items(), *augment]:
        if is_own(node):
            read_own(node, at=str(key))
    return typed


def _refuse_idle(typed: DictConfig) -> None:
    """Refuses what would do nothing, or is no yes or no where it must be one."""
    auto = typed.trainer.get("auto_batch", False) if typed.trainer is not None else False
    if not isinstance(auto, bool):
        raise UsageError(
            f"setting trainer.auto_batch is {auto}; it must be true or false.",
            fix="trainer.auto_batch=true",
        )
    for path, asked in (("trainer.auto_batch", auto), ("recipe.compile", typed.recipe.compile)):
        if asked and typed.recipe.frozen:
            raise UsageError(
                f"setting {path} has nothing to do with recipe.frozen=true: only the head learns, "
                "on all features at once.",
                fix=f"{path}=false",
            )


def is_own(node: Any) -> bool:
    """Whether the node names a `_target_` of Kennel's own that is a dataclass, and so as typed as
    the settings.
    """
    target = str(node.get("_target_", "")) if isinstance(node, DictConfig) else ""
    return target.startswith("kennel.") and is_dataclass(_find(target))


def read_own(node: DictConfig, *, at: str) -> Any:
    """The dataclass that such a node describes.

    Args:
        at: where the node stands, for the message.
    Raises:
        UsageError: a key, a type or a value that it cannot have.
    """
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    kind = _find(plain.pop("_target_"))
    merged = _merge(OmegaConf.structured(kind), OmegaConf.create(plain), at=f"{at}.")
    try:
        return OmegaConf.to_object(merged)
    except ValueError as error:
        raise UsageError(
            f"setting {at}: {error}.", fix="kennel train --cfg job shows every setting"
        ) from error


def _find(target: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"_target_ is {target}, which kennel does not have.",
            fix="kennel train --cfg job shows every setting",
        ) from error


def typed(kind: type[Any], node: Any, *, at: str) -> DictConfig:
    """A node with the types of a dataclass.

    Args:
        at: where the node stands, with a full stop, for the message.
    Raises:
        UsageError: a key or a type that it cannot have.
    """
    return _merge(OmegaConf.structured(kind), OmegaConf.create({} if node is None else node), at=at)


def _merge(schema: DictConfig, config: DictConfig, *, at: str) -> DictConfig:
    try:
        merged = OmegaConf.merge(schema, config)
        OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        path = f"{at}{error.full_key or error.key or ''}"
        reason = str(error.msg or error).splitlines()[0].rstrip(".")
        raise UsageError(
            f"setting {path}: {reason}.", fix="kennel train --cfg job shows every setting"
        ) from error
    assert isinstance(merged, DictConfig)
    return merged
