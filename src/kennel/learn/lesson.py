"""What a run learns from, and how: photos or features, and a Learner, from its settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import lightning as L
from omegaconf import DictConfig, OmegaConf

from kennel.dataset import Dataset
from kennel.errors import UsageError
from kennel.learn.features import FeatureData
from kennel.learn.learner import Learner, balanced_weights, fit_head
from kennel.learn.models import Model
from kennel.learn.opening import Counting, PhotoCount
from kennel.learn.parts import augmentations, made
from kennel.learn.photos import PhotoData
from kennel.learn.progressive import Sides
from kennel.learn.schedule import total_steps
from kennel.learn.settings import ProgressiveSettings, RecipeSettings

log = logging.getLogger(__name__)


def lesson_of(
    settings: DictConfig, trainer: L.Trainer, dataset: Dataset, model: Model, count: PhotoCount
) -> tuple[PhotoData | FeatureData, Learner]:
    """The data and the learner of a run; features are extracted, and the head is fitted on them,
    where the recipe says so.

    Raises:
        UsageError: settings that do not fit each other.
    """
    recipe = cast(RecipeSettings, OmegaConf.to_object(settings.recipe))
    cache_dir = Path(settings.paths.cache_dir)
    if (recipe.frozen or recipe.fit_head_first) and model.backbone.weights == "random":
        raise UsageError(
            f"this recipe rests on a pretrained backbone, and {model.backbone.name} has "
            "random weights.",
            fix="experiment=scratch, or model=efficientnet_lite0",
        )
    augment = augmentations(settings.data.augment)
    sides = None
    if settings.data.progressive is not None:
        growth = cast(ProgressiveSettings, OmegaConf.to_object(settings.data.progressive))
        sides = Sides(growth, model.preprocess.size)
        sides.refuse(model.network, augment, frozen=recipe.frozen)
    features = FeatureData(dataset, model.preprocess)
    if recipe.frozen or recipe.fit_head_first:
        counting = Counting(count, "photos through the backbone")
        features.extract(
            model.network,
            cache_dir=cache_dir,
            on_found=counting.found,
            on_photo=counting.photo,
        )
    if recipe.fit_head_first:
        loss = fit_head(model.network.head, *features.tensors("train"), l2=recipe.head_l2)
        log.warning("head fitted on frozen features: train loss %.3f", loss)
    data: PhotoData | FeatureData = features
    if not recipe.frozen:
        data = PhotoData(
            dataset,
            model.preprocess,
            batch_size=settings.data.batch_size,
            num_workers=settings.data.num_workers,
            augment=augment,
            mix=made(settings.data.mix, "data.mix"),
            seed=settings.seed,
            room=settings.data.room,
            sides=sides,
        )
    truth = data.training.truth
    learner = Learner(
        model.network,
        recipe,
        optimizer=made(settings.optimizer, "optimizer"),
        schedule=made(settings.schedule, "schedule"),
        total_steps=total_steps(trainer, data.steps_per_epoch(trainer.world_size)),
        label_weights=balanced_weights(truth, dataset.labels) if recipe.class_weights else None,
        seed=settings.seed,
    )
    learner.configure_optimizers()  # refuses now what Lightning would find out in the made folder
    return data, learner
