"""`kennel promote` and the registry in a folder: who becomes champion, and what survives."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import REJECTION
from duels import BLIND, BLUEISH, GREENISH, bundle_on, coloured_index

from kennel.bundle import BUNDLE_JSON, MODEL_ONNX, MODEL_SIG, read_bundle, write_bundle
from kennel.card import note_figures
from kennel.cli import main
from kennel.dataset import Dataset
from kennel.evaluate import evaluate_split
from kennel.infer import OnnxClassifier
from kennel.registry import RegistryError
from kennel.registry.entry import Entry
from kennel.registry.history import Registry
from kennel.registry.store import FolderStore
from kennel.writing import file_sha256

# Runs a verb, and at one of its steps, an audit event on a path, says so and does what is asked.
AT_A_STEP = """
import os, signal, sys
from kennel.cli import main
event, part, then, *words = sys.argv[1:]
done = []
def step(name, args):
    if name == event and not done and part in str(args[1]):
        done.append(1)
        if then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        print("here", flush=True)
        sys.stdin.readline()
sys.addaudithook(step)
sys.exit(main(words))
"""
APPENDS = """
import sys
from pathlib import Path
from kennel.registry import RegistryError
from kennel.registry.entry import decode
from kennel.registry.history import Registry
from kennel.registry.store import FolderStore
registry = Registry(FolderStore(Path("registry")))
entry = decode(sys.argv[1].encode(), 2, where="the test")
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.append(entry)
except RegistryError as error:
    print(error.message)
else:
    print("written")
"""
FULL = """
import resource, sys
from kennel.cli import main
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KENNEL_REGISTRY", raising=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """150 that all know, 20 that GREENISH has wrong, one that BLUEISH has wrong. Not to be written
    to.
    """
    return coloured_index(tmp_path_factory.mktemp("photos"), nearly_green=20, nearly_blue=1)


@pytest.fixture(scope="module")
def prepared(photos: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `champion` has, once."""
    folder = tmp_path_factory.mktemp("prepared")
    weak = bundle_on(photos, folder / "weak", GREENISH)
    bundle_on(photos, folder / "strong")
    assert promote(str(weak.path), "--registry", str(folder / "registry")) == 0
    return folder


@pytest.fixture
def champion(prepared: Path, photos: Dataset, tmp_path: Path) -> Dataset:
    """A registry whose champion is `weak`, a GREENISH; beside it lies `strong`."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return photos


def promote(*words: str) -> int:
    return main(["promote", *words])


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main(["promote", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def who() -> str | None:
    newest = Registry(FolderStore(Path("registry"))).newest()
    return newest.bundle_id if newest else None


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", *words], capture_output=True, text=True, check=False, **more
    )


def history() -> list[Path]:
    return sorted(Path("registry/history").iterdir())


# ---- the gate


def test_the_first_champion_must_beat_the_most_frequent_label(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("blind"), BLIND, rejection=None)
    assert promote("blind") == 1
    err = capsys.readouterr().err
    assert "not shown to be better than always answering red, which is right on 71 of 171" in err
    assert not Path("registry").exists()
    bundle_on(photos, Path("weak"), GREENISH)
    assert promote("weak") == 0
    out = capsys.readouterr().out
    assert "champion    weak" in out
    assert out.splitlines()[-1] == "next: kennel promote --history"


def test_not_good_enough_is_no_failure_where_asked_and_a_registry_out_of_reach_is(
    photos: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle_on(photos, Path("blind"), BLIND, rejection=None)
    assert promote("blind", "--or-keep") == 0
    kept = "kept        blind is not promoted; it is not shown to be better"
    assert kept in capsys.readouterr().out
    assert promote("blind", "--or-keep", "--json") == 0
    assert json.loads(capsys.readouterr().out)["promoted"] is False
    assert not Path("registry").exists()
    Path("registry").write_text("a file")
    assert promote("blind", "--or-keep") == 1
    assert "a registry is a folder" in capsys.readouterr().err
    assert promote("--champion", "--or-keep") == 2
    # Out of reach: nobody listens there.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert promote("blind", "--or-keep", "--registry", "s3://bucket/registry") == 1
    assert "error:" in capsys.readouterr().err


def test_what_is_promoted_lies_in_the_registry_byte_by_byte(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(capsys, "--champion")
    copy = Path(found["path"])
    assert copy.parent == Path("registry/bundles")
    assert copy.name == f"weak-{file_sha256(Path('weak', BUNDLE_JSON))[:8]}"
    for name in (BUNDLE_JSON, MODEL_ONNX):
        assert (copy / name).read_bytes() == Path("weak", name).read_bytes()
    assert sorted(each.name for each in Path("registry").iterdir()) == [
        "bundles",
        "history",
        "registry.json",
    ]
    assert main(["promote", "--champion"]) == 0
    assert capsys.readouterr().out == f"{copy}\n"


def test_a_better_candidate_becomes_champion_and_the_figures_are_kept(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = said(capsys, "strong")["entry"]
    assert (entry["number"], entry["action"], entry["forced"]) == (2, "promote", False)
    assert (entry["bundle_id"], entry["previous_champion"]) == ("strong", "weak")
    gate = entry["gate"]
    assert (gate["passed"], gate["champion"], gate["margin"]) == (True, "weak", 0.03)
    assert (gate["n"], gate["only_champion"], gate["only_candidate"]) == (171, 0, 20)
    assert set(gate["figures"]) == {"top1", "macro_f1", "log_loss", "refused"}
    assert gate["figures"]["top1"]["candidate"] == 1.0
    assert gate["dataset_id"] == champion.dataset_id
    assert json.loads(history()[-1].read_text(encoding="utf-8")) == entry


def test_a_worse_candidate_is_refused_and_nothing_is_written(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    before = {path: path.read_bytes() for path in history()}
    worse = bundle_on(champion, Path("worse"), GREENISH)
    assert promote("worse") == 1
    err = capsys.readouterr().err
    assert f"{worse.bundle_id} is not promoted; it is worse: top1 differs by -0.117" in err
    assert "--force --reason" in err
    assert {path: path.read_bytes() for path in history()} == before
    assert said(capsys, "worse", code=1)["gate"]["passed"] is False
    assert who() == "strong"


def test_few_photos_do_not_show_that_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=40, nearly_green=1, nearly_blue=1)
    bundle_on(dataset, Path("one"), GREENISH)
    bundle_on(dataset, Path("other"), BLUEISH)
    assert promote("one") == 0
    assert promote("other") == 1
    err = capsys.readouterr().err
    assert "not shown not to be worse" in err
    assert "42 photos cannot rule that out; about " in err
    assert promote("other", "--margin", "0.3") == 0
    assert said(capsys, "--history")[-1]["gate"]["margin"] == 0.3


def test_a_candidate_that_refuses_far_more_is_refused(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(champion, Path("shy"), rejection=replace(REJECTION, threshold=9.0))
    assert promote("shy") == 1
    assert 'it says "not one I know" to 100.0% of these photos' in capsys.readouterr().err


def test_the_champion_itself_is_champion_already(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    # Measured since it was promoted: its bundle.json is another, the model is not.
    bundle = read_bundle(Path("weak"))
    note_figures(
        bundle, [evaluate_split(OnnxClassifier(bundle), champion, "test", bundle.preprocess)]
    )
    assert promote("weak") == 0
    assert "the same model" in capsys.readouterr().out
    assert len(history()) == 1


def test_force_wants_a_reason_and_both_are_recorded(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    bundle_on(champion, Path("worse"), GREENISH)
    for reason in ([], ["--reason", "  "]):
        assert promote("worse", "--force", *reason) == 2
    assert "--force wants a reason" in capsys.readouterr().err
    entry = said(capsys, "worse", "--force", "--reason", "knows the new camera")["entry"]
    assert (entry["forced"], entry["reason"]) == (True, "knows the new camera")
    assert entry["gate"]["passed"] is False
    assert promote("--history") == 0
    out = capsys.readouterr().out
    assert "forced: knows the new camera; worse: top1" in out
    assert max(map(len, out.splitlines())) <= 80


def test_force_where_nothing_is_forced_is_not_called_so(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = said(capsys, "strong", "--force", "--reason", "to be sure")["entry"]
    assert (entry["forced"], entry["reason"]) == (False, "to be sure")


def test_a_gate_that_cannot_be_asked_refuses_or_is_forced_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=60, nearly_green=20)
    bundle_on(dataset, Path("weak"), GREENISH)
    bundle_on(dataset, Path("strong"))
    assert promote("weak") == 0
    dataset.csv.unlink()
    assert promote("strong") == 1
    assert "is not on this machine" in capsys.readouterr().err
    entry = said(capsys, "strong", "--force", "--reason", "photos are elsewhere")["entry"]
    assert (entry["forced"], entry["gate"]) == (True, None)
    assert "is not on this machine" in entry["unmeasured"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "neither a BUNDLE nor an action"),
        (["weak", "--history"], "BUNDLE and --history"),
        (["--rollback", "--force", "--reason", "x"], "--force is for the gate"),
        (["weak", "--to", "x"], "add --champion"),
        (["weak", "--registry", "gs://bucket"], "neither a folder nor in S3"),
    ],
)
def test_words_that_do_not_go_together_are_wrong_usage(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote(*words) == 2
    assert expected in "".join(capsys.readouterr())


def test_a_signature_goes_with_its_bundle_and_one_that_came_later_by_force(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("weak", MODEL_SIG).write_bytes(b"a signature")
    assert promote("weak") == 0
    assert "the same model" in capsys.readouterr().out
    found = said(capsys, "weak", "--force", "--reason", "signed")
    assert (found["entry"]["forced"], found["entry"]["number"]) == (False, 2)
    assert Path(found["path"], MODEL_SIG).read_bytes() == b"a signature"
    assert promote("--champion", "--to", "copy") == 0
    assert Path("copy", MODEL_SIG).read_bytes() == b"a signature"
    flip(Path(found["path"], MODEL_SIG))
    assert "model.sig was changed" in said(capsys, "--verify", code=1)["damage"][0]


# ---- back, and the history


def test_rollback_goes_back_step_by_step_and_then_on_from_there(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(champion, Path("other"), BLUEISH)
    promote("other")
    promote("strong")
    assert promote("--rollback", "--reason", "slow") == 0
    assert who() == "other"
    promote("strong")
    assert promote("--rollback") == 0
    assert promote("--rollback") == 0
    assert who() == "weak"
    assert promote("--rollback") == 1
    assert "there is no champion before weak" in capsys.readouterr().err
    entries = said(capsys, "--history")
    assert [each["bundle_id"] for each in entries] == [
        *("weak", "other", "strong", "other", "strong", "other", "weak")
    ]
    assert [each["returns_to"] for each in entries] == [None, None, None, 2, None, 2, 1]
    assert entries[3]["reason"] == "slow"


@pytest.mark.parametrize("word", ["1", "weak"])
def test_rollback_goes_to_an_entry_or_a_bundle_that_is_named(
    champion: Dataset, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    assert promote("--rollback", word) == 0
    assert who() == "weak"
    assert promote("--rollback", word) == 1
    assert "weak is the champion already" in capsys.readouterr().err
    assert promote("--rollback", "strong") == 0
    assert who() == "strong"
    assert promote("--rollback", "9") == 2


def test_rollback_to_a_bundle_that_is_damaged_is_refused(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    flip(next(Path("registry/bundles").glob("weak-*")) / MODEL_ONNX)
    assert promote("--rollback") == 1
    assert "is not the file that was exported" in capsys.readouterr().err
    assert who() == "strong"


def test_each_entry_carries_the_sha256_of_the_one_before(champion: Dataset) -> None:
    promote("strong")
    promote("--rollback")
    before = None
    for path in history():
        entry = json.loads(path.read_text(encoding="utf-8"))
        assert entry["previous_sha256"] == before
        before = hashlib.sha256(path.read_bytes()).hexdigest()


def test_nobody_is_named_in_the_history(champion: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "ada@example.org")
    promote("strong")
    text = history()[-1].read_text(encoding="utf-8")
    assert "@" not in text
    assert str(Path.home()) not in text


def test_the_pedigree_of_a_bundle_says_whether_it_is_champion(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    for name, expected in (("weak", "was champion, entry 1"), ("strong", "champion, entry 2")):
        capsys.readouterr()
        assert main(["show", name]) == 0
        assert f"deployed      {expected} of registry, 20" in capsys.readouterr().out


def test_an_empty_registry_has_neither_champion_nor_history(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert promote("--champion") == 1
    assert "has no champion yet" in capsys.readouterr().err
    assert promote("--rollback") == 1
    assert promote("--history") == 0
    assert promote("--verify") == 0
    assert not Path("registry").exists()


def test_the_environment_names_the_registry(
    champion: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KENNEL_REGISTRY", "elsewhere")
    assert promote("weak") == 0
    assert Path("elsewhere/history/000001.json").is_file()
    assert promote("--history", "--registry", "registry") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("--champion --registry registry")


def test_a_copy_of_the_champion_is_whole_and_in_a_folder_of_its_own(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(capsys, "--champion", "--to", "out/copy")
    assert found["path"] == "out/copy"
    assert read_bundle(Path("out/copy")).file(MODEL_ONNX).is_file()
    assert promote("--champion", "--to", "out/copy") == 1
    assert "is not empty" in capsys.readouterr().err
    assert [each.name for each in Path("out").iterdir()] == ["copy"]


# ---- damage


def flip(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def test_verify_finds_every_kind_of_damage(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    promote("--rollback")
    promote("strong")
    whole = said(capsys, "--verify")
    assert (whole["whole"], whole["entries"], whole["bundles"], whole["files"]) == (True, 4, 2, 4)
    assert whole["newest_sha256"] == file_sha256(history()[-1])
    weak, strong = (next(Path("registry/bundles").glob(f"{name}-*")) for name in ("weak", "strong"))
    first, second, third, _ = history()
    changed = first.read_text(encoding="utf-8").replace('"reason": ""', '"reason": "?"')
    first.chmod(0o600)
    first.write_text(changed, encoding="utf-8")
    second.unlink()
    third.chmod(0o600)
    third.write_text("{", encoding="utf-8")
    flip(weak / MODEL_ONNX)
    flip(strong / BUNDLE_JSON)
    found = said(capsys, "--verify", code=1)
    assert found["whole"] is False
    assert [each.partition(":")[0] for each in found["damage"]] == [
        "history/000002.json is missing",
        "history/000003.json is damaged",
        "history/000004.json does not follow the entry before it",
        f"bundles/{weak.name}/model.onnx was changed",
        f"bundles/{strong.name}/bundle.json was changed",
    ]


def test_a_changed_entry_breaks_the_chain(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    first = history()[0]
    text = first.read_text(encoding="utf-8")
    first.chmod(0o600)
    first.write_text(text.replace('"forced": false', '"forced": true'), encoding="utf-8")
    assert promote("--history") == 1
    assert "history/000002.json does not follow the entry before it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged: the document is not an object"),
        ('{"schema_version": 1}', "is damaged: number is missing"),
        ('{"schema_version": 9}', "has schema_version 9; this kennel reads 1"),
    ],
)
def test_a_newest_entry_that_is_damaged_is_named(
    champion: Dataset, content: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history()[0]
    path.chmod(0o600)
    path.write_text(content, encoding="utf-8")
    for words in (["--champion"], ["strong"], ["--rollback"]):
        assert promote(*words) == 1
        err = capsys.readouterr().err
        assert f"registry/history/000001.json {expected}" in err


def test_an_entry_that_leads_out_of_the_registry_is_refused(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history()[0]
    entry = json.loads(path.read_text(encoding="utf-8"))
    path.chmod(0o600)
    for place in ("bundles/../../weak", "/etc", "bundles/.."):
        path.write_text(json.dumps({**entry, "place": place}), encoding="utf-8")
        assert promote("--champion") == 1
        assert "is damaged: place is" in capsys.readouterr().err


def test_a_missing_entry_is_named(champion: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    promote("strong")
    history()[0].unlink()
    assert promote("--champion") == 1
    assert "history/000001.json is missing, though later entries" in capsys.readouterr().err


def test_a_missing_champion_is_said_and_can_be_replaced_by_force(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(next(Path("registry/bundles").glob("weak-*")))
    assert promote("strong") == 1
    assert "the bundle of entry 1, registry/bundles/weak-" in capsys.readouterr().err
    assert promote("strong", "--force", "--reason", "the champion is lost") == 0
    assert who() == "strong"


def test_a_champion_that_was_changed_is_said(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = next(Path("registry/bundles").glob("weak-*"))
    write_bundle(replace(read_bundle(copy), bundle_id="other"))
    assert promote("--champion") == 1
    assert "was changed since it was promoted" in capsys.readouterr().err


def test_a_copy_in_the_registry_that_is_damaged_is_not_promoted(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote("strong")
    promote("--rollback")
    copy = next(Path("registry/bundles").glob("strong-*"))
    flip(copy / MODEL_ONNX)
    assert promote("strong") == 1
    assert f"{copy} is damaged: model.onnx is not what was put there" in capsys.readouterr().err


def test_a_damaged_bundle_is_not_promoted_by_force_either(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(Path("strong", MODEL_ONNX))
    assert promote("strong", "--force", "--reason", "because") == 1
    assert "is not the file that was exported" in capsys.readouterr().err
    assert who() == "weak"


@pytest.mark.parametrize(
    ("bundle_id", "expected"),
    [("../../hostile", "no plain name"), ("a blank & more", "which cannot be a folder")],
)
def test_a_bundle_id_that_cannot_be_a_folder_is_refused(
    photos: Dataset, bundle_id: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("hostile"), bundle_id=bundle_id)
    assert promote("hostile") == 1
    assert expected in capsys.readouterr().err
    assert not Path("registry").exists()


@pytest.mark.parametrize("registry", ["file", "file/below", "/proc/registry"])
def test_a_registry_that_cannot_be_is_said(
    photos: Dataset, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("a file", encoding="utf-8")
    bundle_on(photos, Path("weak"), GREENISH)
    assert promote("weak", "--registry", registry) == 1
    err = capsys.readouterr().err
    assert registry in err
    assert "fix: " in err


def test_a_folder_that_is_another_registry_is_refused(
    champion: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("registry/registry.json")
    path.chmod(0o600)
    path.write_text("{}", encoding="utf-8")
    assert promote("strong") == 1
    assert "is of no registry that this kennel knows" in capsys.readouterr().err


# ---- interrupted, full, at once


@pytest.mark.slow
@pytest.mark.parametrize("most_bytes", [10, 500])
def test_a_full_disk_leaves_the_champion_and_no_half_of_anything(
    champion: Dataset, most_bytes: int
) -> None:
    before = everything()
    words = ["promote", "strong", "--force", "--reason", "x"]
    done = run(FULL, str(most_bytes), *words)
    assert done.returncode == 1
    assert "cannot be written: File too large. The champion is who it was." in done.stderr
    assert everything() == before
    assert promote("strong") == 0


def everything() -> dict[str, bytes]:
    files = (path for path in Path("registry").rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "part"), [("os.rename", "bundles/strong-"), ("os.link", "history/")]
)
def test_killed_at_any_step_the_old_champion_stays(
    champion: Dataset, event: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(AT_A_STEP, event, part, "die", "promote", "strong")
    assert done.returncode == -signal.SIGKILL
    assert who() == "weak"
    assert promote("--verify") == 0
    assert promote("strong") == 0
    assert who() == "strong"
    left = list(Path("registry").rglob(".*.part"))
    assert len(left) == 1
    # What was left is old enough for kennel clean when nobody has written to it for an hour.
    for path in [*left, *left[0].rglob("*")]:
        os.utime(path, (0, 0))
    assert main(["clean"]) == 0
    assert not left[0].exists()
    assert promote("--verify") == 0


def test_who_is_overtaken_is_told_and_changes_nothing(champion: Dataset) -> None:
    bundle_on(champion, Path("other"), BLUEISH)
    words = [sys.executable, "-c", AT_A_STEP, "os.link", "history/", "wait", "promote", "other"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as slow:
        assert slow.stdout is not None
        assert slow.stdout.readline() == "here\n"
        assert promote("strong") == 0
        out, err = slow.communicate("go\n")
    assert slow.returncode == 1, out
    assert "strong was made champion while this was going on (entry 2" in err
    assert who() == "strong"
    assert len(history()) == 2


def test_of_many_that_write_one_number_at_once_one_does(champion: Dataset) -> None:
    registry = Registry(FolderStore(Path("registry")))
    newest = registry.newest()
    assert newest is not None
    number, before = registry.next_number(newest)
    entries = [
        replace(newest, number=number, previous_sha256=before, reason=f"writer {at}")
        for at in range(6)
    ]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", APPENDS, document(entry)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for entry in entries
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    outcomes = [writer.communicate()[0].strip() for writer in writers]
    assert outcomes.count("written") == 1
    assert sum("was made champion while" in each for each in outcomes) == 5
    winner = registry.newest()
    assert winner is not None
    assert winner.reason == f"writer {outcomes.index('written')}"
    assert len(history()) == 2


def document(entry: Entry) -> str:
    from kennel.registry.entry import encode

    return encode(entry).decode()


def test_a_write_that_is_repeated_is_one_entry(champion: Dataset) -> None:
    registry = Registry(FolderStore(Path("registry")))
    newest = registry.newest()
    assert newest is not None
    number, before = registry.next_number(newest)
    again = replace(newest, number=number, previous_sha256=before)
    assert registry.append(again) == registry.append(again)
    with pytest.raises(RegistryError, match="was made champion while"):
        registry.append(replace(again, reason="another"))
