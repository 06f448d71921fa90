"""The same change gives the same numbers: 20 seeded steps of each shipped recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden import GOLDEN, RECIPES, STEPS, differing, kept, losses

from kennel import configs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


def test_every_shipped_recipe_has_a_golden_file() -> None:
    shipped = {path.stem for path in Path(configs.__file__).parent.glob("experiment/*.yaml")}
    assert shipped == set(RECIPES) == {path.stem for path in GOLDEN.glob("*.json")}
    assert all(len(kept(recipe)) == STEPS for recipe in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_twenty_seeded_steps_have_the_losses_that_are_kept(recipe: str, folder: Path) -> None:
    now = losses(recipe, folder)
    assert differing(now, kept(recipe)) == [], f"{now}; meant? python tests/learn/golden.py"


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        ("quick", "recipe.l2=0.00105"),
        ("finetune", "optimizer.lr=5.25e-5"),
        ("scratch", "optimizer.lr=4.2e-3"),
    ],
)
def test_a_setting_that_is_five_per_cent_higher_is_noticed(
    recipe: str, change: str, folder: Path
) -> None:
    assert differing(losses(recipe, folder, change), kept(recipe))


def test_another_order_of_the_same_sums_is_not(folder: Path) -> None:
    now = losses("finetune", folder, "recipe.channels_last=false")  # 1e-5 of a loss away
    assert now != kept("finetune")
    assert differing(now, kept("finetune")) == []


def test_a_loss_that_is_no_number_and_a_missing_step_are_noticed() -> None:
    then = kept("scratch")
    assert differing([*then[:5], np.nan, *then[6:]], then) == [5]
    assert differing(then[:-1], then) == [STEPS - 1]
