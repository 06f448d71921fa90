"""`kennel report --markdown`: what changed besides the figures: settings, photos, hours, money."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from measured_bundles import DOGS, a_run, measured_bundle, of_run
from report_text import LOST, outcome, rows, text, told


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


BEFORE = """\
seed: 0
trainer: {max_epochs: 3, default_root_dir: /home/a/runs/one}
paths: {output_dir: /home/a/runs/one, data_dir: /home/a}
data: {csv: /home/a/dataset.csv, augment: []}
tune: {storage: "postgresql://anna:secret@host/db"}
hub: {token: abc}
"""
AFTER = """\
seed: 0
trainer: {max_epochs: 9, default_root_dir: /home/b/runs/two}
paths: {output_dir: /home/b/runs/two, data_dir: /home/b}
data: {csv: /home/b/dataset.csv, augment: [{_target_: flip}]}
tune: {storage: "postgresql://bert:hidden@other/db"}
hub: {token: xyz}
optimizer: {lr: 0.1}
"""


def test_settings_are_compared_key_by_key_and_places_are_nobodys_business(
    capsys: pytest.CaptureFixture[str],
) -> None:
    of_run(a_run(Path("runs/one"), BEFORE), Path("bundles/main"))
    of_run(a_run(Path("runs/two"), AFTER), Path("bundles/new"))
    said = text(capsys, "bundles/new", "--against", "bundles/main")
    assert rows(said, "setting") == {
        "`data.augment`": ["`[]`", '`[{"_target_": "flip"}]`'],
        "`optimizer.lr`": ["not there", "`0.1`"],
        "`trainer.max_epochs`": ["`3`", "`9`"],
        "`tune.storage`": [
            '`"postgresql://(not shown)@host/db"`',
            '`"postgresql://(not shown)@other/db"`',
        ],
    }
    for private in ("secret", "hidden", "anna", "abc", "xyz", "/home"):
        assert private not in said


def test_a_config_that_was_changed_since_is_not_believed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    of_run(a_run(Path("runs/one"), BEFORE), Path("bundles/main"))
    of_run(
        a_run(Path("runs/two"), AFTER),
        Path("bundles/new"),
        overrides=("trainer.max_epochs=9", "data.csv=/home/b/x.csv"),
    )
    Path("runs/two/config.yaml").write_text(AFTER + "more: 1\n")
    said = text(capsys, "bundles/new", "--against", "bundles/main")
    assert rows(said, "setting") == {"`trainer.max_epochs`": ["not there", "`9`"]}
    assert "of this its config.yaml was changed since." in said


def test_without_the_runs_the_words_of_the_commands_are_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), overrides=("model=mambaout",), seed=1)
    measured_bundle(Path("new"), overrides=("model=regnetx", "+data.token=hush"))
    said = text(capsys, "new", "--against", "main")
    assert rows(said, "setting") == {
        "`data.token`": ["not there", "`(not shown)`"],
        "`model`": ["`mambaout`", "`regnetx`"],
        "`seed`": ["`1`", "`0`"],
    }
    assert "of this its run is not at hand; of the other its run is not at hand." in said
    assert "The seeds differ" in said


def test_a_config_that_writes_out_without_end_is_not_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + at)}: &{chr(98 + at)} [*{chr(97 + at)}, *{chr(97 + at)}]\n" for at in range(24)
    )
    of_run(a_run(Path("runs/one"), BEFORE), Path("bundles/main"))
    of_run(a_run(Path("runs/two"), laughs), Path("bundles/new"))
    said = text(capsys, "bundles/new", "--against", "bundles/main")
    assert "of this its config.yaml is not what a run writes" in said


def test_photos_that_were_added_and_labels_that_are_new_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), dataset_id="e" * 64)
    measured_bundle(Path("new"), labels=(*DOGS, "Boxer"), n=80)
    said = text(capsys, "new", "--against", "main")
    assert "The photos changed, from dataset `eeeeeeeeeeeeeeee` to `dddddddddddddddd`." in said
    assert rows(said, "photos")["test"] == ["60", "80"]
    assert "New labels: Boxer." in said


def test_the_same_photos_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("main"))
    measured_bundle(Path("new"), wrong=LOST)
    said = text(capsys, "new", "--against", "main")
    assert "Both are made from the same photos: dataset `dddddddddddddddd`, 180 photos." in said


def test_test_photos_that_were_opened_for_several_bundles_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a", "b", "c"):
        measured_bundle(Path("bundles") / name)
    measured_bundle(Path("bundles/elsewhere"), dataset_id="e" * 64)
    measured_bundle(Path("bundles/unmeasured"), splits=("validation",))
    assert "These test photos were opened for 3 bundles" in text(capsys, "bundles/a")
    assert told(capsys, "bundles/a")["test_opened_for"] == ["a", "b", "c"]


# ---- cost


def test_hours_are_told_and_money_only_at_a_price_that_was_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    of_run(a_run(Path("runs/one"), BEFORE), Path("bundles/main"))
    of_run(a_run(Path("runs/two"), AFTER, duration_s=7200.0), Path("bundles/new"))
    words = ("bundles/new", "--against", "bundles/main")
    bare = text(capsys, *words)
    assert rows(bare, "cost")["training"] == ["2.00 h", "1.50 h"]
    assert rows(bare, "cost")["photos learned a second"] == ["321.5", "321.5"]
    assert "USD" not in bare.replace("`--price USD_PER_HOUR`", "")
    priced = text(capsys, *words, "--price", "0.5")
    assert rows(priced, "cost")["money"] == ["1 USD", "0.75 USD"]
    assert "Money at 0.5 USD an hour, as named by --price." in priced
    booked = text(capsys, *words, "--price", "g4dn.xlarge")
    assert rows(booked, "cost")["money"] == ["1.1 USD", "0.79 USD"]
    assert "list price of g4dn.xlarge on demand, us-east-1, seen in 2026" in booked


def test_a_price_is_not_laid_on_other_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(Path("runs/one"), BEFORE)
    of_run(run, Path("bundles/main"))
    of_run(replace(run, hardware={"gpu": "another"}), Path("bundles/new"))
    said = text(capsys, "bundles/new", "--against", "bundles/main", "--price", "2")
    assert rows(said, "cost")["money"] == ["3 USD", "–"]
    assert "The other was trained on other hardware" in said


@pytest.mark.parametrize("price", ["cheap", "-1", "nan", "inf"])
def test_a_price_that_is_none_is_wrong_usage(
    price: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measured_bundle(Path("new"))
    code, out, err = outcome(capsys, "new", "--markdown", f"--price={price}")
    assert (code, out) == (2, "")
    assert repr(price) in err
    assert "g4dn.xlarge" in err


# ---- runs


def test_a_run_is_told_by_what_its_trainer_measured(capsys: pytest.CaptureFixture[str]) -> None:
    a_run(Path("runs/one"), BEFORE)
    a_run(Path("runs/two"), AFTER, metrics={"validation/top1": 0.95})
    said = text(capsys, "runs/two", "--against", "runs/one")
    assert "### Not comparable: this has no answers photo by photo: it is a run" in said
    assert rows(said, "of the best epoch")["`validation/top1`"] == ["0.95", "0.9"]
    assert rows(said, "setting")["`trainer.max_epochs`"] == ["`3`", "`9`"]


# ---- where it goes
