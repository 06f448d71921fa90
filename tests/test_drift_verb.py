"""`kennel drift`: photos, files and servers; what is written, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import entry, tiny_bundle
from PIL import Image
from serving import File, Server, serving

from kennel.bundle import Bundle, read_bundle, write_bundle, write_json
from kennel.cli import main
from kennel.drift.photos import Seen, look_at
from kennel.errors import BundleError
from kennel.infer import OnnxClassifier
from kennel.sketch import SKETCH_JSON, Reference, Sketch, read_reference

KEY = "kennel-key-0123456789"


def draw_photos(folder: Path, *, n: int, seed: int, light: float = 1.0) -> Path:
    """Noise around a colour that differs from photo to photo."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(n):
        colour = rng.uniform(40, 200, 3)
        pixels = np.clip(colour + rng.normal(0, 30, (24, 30, 3)), 0, 255) * light
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bundle`, which has a reference of 60 photos, and photos of the same kind."""
    folder = tmp_path_factory.mktemp("drift")
    with_reference(folder / "bundle", draw_photos(folder / "validation", n=60, seed=0))
    draw_photos(folder / "like", n=60, seed=1)
    draw_photos(folder / "dark", n=60, seed=2, light=0.4)
    return folder


def with_reference(folder: Path, photos: Path, **options: Any) -> Bundle:
    """A tiny bundle whose reference are these photos."""
    bundle = tiny_bundle(folder, **options)
    seen = [each for _, each in look_at(sorted(photos.iterdir()), OnnxClassifier(bundle))]
    assert all(isinstance(each, Seen) for each in seen)
    reference = Reference.of(
        [each.figures for each in seen if isinstance(each, Seen)],
        [each.label for each in seen if isinstance(each, Seen)],
        bundle=bundle.bundle_id,
        labels=bundle.labels,
    )
    write_json(folder / SKETCH_JSON, reference.to_dict())
    files = {**bundle.files, SKETCH_JSON: entry(folder / SKETCH_JSON)}
    write_bundle(replace(bundle, files=files))
    return read_bundle(folder)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `kennel drift WORDS`."""
    code = main(["drift", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def told_by(home: Path, photos: str) -> dict[str, Any]:
    """What a server that answered these photos would say at /sketch."""
    bundle = read_bundle(home / "bundle")
    reference = read_reference(bundle)
    assert reference is not None
    sketch = Sketch(reference)
    for _, seen in look_at(sorted((home / photos).iterdir()), OnnxClassifier(bundle)):
        assert isinstance(seen, Seen)
        sketch.add(seen.figures, seen.label)
    return {
        "bundle": bundle.bundle_id,
        "since": "2026-11-24T08:00:00Z",
        "sketch": sketch.to_dict(),
    }


def test_photos_like_those_of_validation_end_with_0(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, home / "like", "--bundle", home / "bundle")
    assert (code, "No drift is shown" in out) == (0, True)
    assert "60 photos answered" in err
    assert f"next: kennel drift {home / 'like'} --bundle {home / 'bundle'} --to drift" in out


def test_darkened_photos_end_with_1_and_are_called_darker(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, home / "dark", "--bundle", home / "bundle", "--json")
    said = json.loads(out)
    assert (code, said["verdict"], "brightness" in said["drifted"]) == (1, "drifted", True)
    row = next(row for row in said["figures"] if row["figure"] == "brightness")
    assert (row["says"], row["drifted"]) == ("darker", True)
    assert max(row["psi"] - row["psi_alarm"], row["shift"] - row["shift_alarm"]) > 0
    assert said["seen"] == {"n": 60, "since": None, "source": str(home / "dark")}
    assert said["reference"] == {"n": 60, "split": "validation"}
    assert not {"megapixels", "aspect"} & set(said["drifted"])


def test_a_page_a_picture_and_a_sketch_are_written(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    code, out, _ = run(capsys, home / "dark", "--bundle", home / "bundle", "--to", tmp_path)
    assert code == 1
    assert f"page        {tmp_path / 'index.html'}" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "drift.json",
        "drift.png",
        "index.html",
        "sketch.json",
    ]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    said = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))
    assert said["finding"] in page
    assert page.count("<svg") == len(said["figures"])
    assert "http" not in page.replace("http-equiv", "")
    with Image.open(tmp_path / "drift.png") as picture:
        assert picture.width == 2200
    # What was saved gives the same verdict without the bundle and the photos.
    again, out, _ = run(capsys, tmp_path / "sketch.json", "--json")
    assert (again, json.loads(out)["figures"]) == (1, said["figures"])


def test_labels_are_data_on_the_page(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    labels = ("<script>alert(1)</script>", "green & blue", "a" * 60)
    with_reference(tmp_path / "bundle", home / "validation", labels=labels)
    run(capsys, home / "dark", "--bundle", tmp_path / "bundle", "--to", tmp_path / "to")
    page = (tmp_path / "to" / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script" in page


def test_photos_that_cannot_be_read_are_named_and_left_out(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_photos(tmp_path / "photos", n=3, seed=4)
    (tmp_path / "photos" / "no.jpg").write_bytes(b"no photo")
    (tmp_path / "photos" / "cut.png").write_bytes(
        (tmp_path / "photos" / "001.png").read_bytes()[:90]
    )
    code, out, err = run(capsys, tmp_path / "photos", "--bundle", home / "bundle", "--json")
    said = json.loads(out)
    assert (code, said["verdict"], said["seen"]["n"]) == (0, "too few photos", 3)
    assert err.count("skipped:") == 2
    for name in ("000", "001", "002"):
        (tmp_path / "photos" / f"{name}.png").unlink()
    code, _, err = run(capsys, tmp_path / "photos", "--bundle", home / "bundle")
    assert (code, "none of the 2 photos" in err) == (1, True)


def test_a_server_counts_a_photo_as_the_folder_that_holds_it(home: Path) -> None:
    pytest.importorskip("fastapi")
    from kennel.serve.loaded import Loaded

    loaded = Loaded(home / "bundle", threads=1)
    for path, seen in look_at(sorted((home / "like").iterdir()), loaded.classifier):
        assert isinstance(seen, Seen)
        said = loaded.answer(path.read_bytes(), top=1, max_pixels=10_000)
        assert said.answer.label == seen.label
        assert said.figures == pytest.approx(seen.figures, abs=1e-5)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


def serve(server: Server, home: Path, photos: str) -> str:
    document, reference = told_by(home, photos), (home / "bundle" / SKETCH_JSON).read_bytes()
    server.put("/sketch", File(json.dumps(document).encode()))
    server.put("/reference", File(reference))
    return server.url("")


def test_a_server_is_asked_for_its_sketch_and_its_reference(
    home: Path, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KENNEL_API_KEY", raising=False)
    url = serve(server, home, "dark")
    code, out, _ = run(capsys, url, "--json")
    said = json.loads(out)
    assert (code, said["verdict"]) == (1, "drifted")
    assert said["seen"] == {"n": 60, "since": "2026-11-24T08:00:00Z", "source": url}
    assert [each["path"] for each in server.asked] == ["/sketch", "/reference"]
    assert all("Authorization" not in each for each in server.asked)
    code, out, _ = run(capsys, f"{url}/", "--bundle", home / "bundle")
    assert (code, "60 photos since 2026-11-24T08:00:00Z" in out) == (1, True)
    assert [each["path"] for each in server.asked[2:]] == ["/sketch"]


def test_a_key_comes_from_a_file_or_the_environment(
    home: Path,
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = serve(server, home, "like")
    monkeypatch.setenv("KENNEL_API_KEY", "from-outside")
    run(capsys, url)
    (tmp_path / "key").write_text("from-a-file\n", encoding="utf-8")
    run(capsys, url, "--key-file", tmp_path / "key")
    keys = [each["Authorization"] for each in server.asked]
    assert keys == ["Bearer from-outside"] * 2 + ["Bearer from-a-file"] * 2
    (tmp_path / "key").write_text("two words\n", encoding="utf-8")
    code, _, err = run(capsys, url, "--key-file", tmp_path / "key")
    assert (code, "holds no key" in err, "two words" in err) == (2, True, False)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "--key-file"), (403, "--key-file"), (404, "kennel serve"), (500, "log")],
)
def test_a_server_that_refuses_is_quoted_with_what_to_do(
    status: int, words: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("/sketch", File(refusals=[(status, {})]))
    code, _, err = run(capsys, server.url(""))
    assert (code, words in err.split("fix:")[1]) == (1, True)


def test_a_key_is_not_sent_on_to_another_address(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KENNEL_API_KEY", KEY)
    with serving() as other:
        elsewhere = other.put("/sketch", File(b"{}"))
        server.put("/sketch", File(location=elsewhere))
        code, _, err = run(capsys, server.url(""))
        assert (code, other.asked) == (1, [])
    assert KEY not in err


def test_no_server_no_sketch_and_no_address_are_said(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("/sketch", File(b"<html>"))
    server.put("/deep/sketch", File(b"[" * 100_000))
    server.put("/list/sketch", File(b"[]"))
    gone = server.url("").replace(str(server.server_port), "9")
    for words, code, said in (
        ([server.url("")], 1, "it is no JSON"),
        ([server.url("/deep")], 1, "it is no JSON"),
        ([server.url("/list")], 1, "it has no sketch"),
        ([gone], 1, "cannot be reached"),
        (["ftp://127.0.0.1"], 2, "no address of a server"),
        (["http://"], 2, "no address of a server"),
        (["http://127.0.0.1:port"], 1, "cannot be reached"),
        ([tmp_path / "nothing"], 2, "does not exist"),
        ([tmp_path], 2, "no bundle is named"),
    ):
        found, _, err = run(capsys, *words)
        assert (found, said in err, "fix:" in err) == (code, True, True), (words, err)


def test_an_endless_answer_is_left(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kennel.served.MOST_BYTES", 1000)
    server.put("/sketch", File(b" " * 5000))
    code, _, err = run(capsys, server.url(""))
    assert (code, "more than 1000 bytes" in err) == (1, True)


def test_a_saved_sketch_is_compared_with_the_bundle_that_answered_and_no_other(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sketch.json"
    write_json(file, told_by(home, "like"))
    code, out, _ = run(capsys, file, "--bundle", home / "bundle")
    assert (code, "No drift is shown" in out) == (0, True)
    code, _, err = run(capsys, file)
    assert (code, "name the bundle" in err) == (2, True)
    with_reference(tmp_path / "other", home / "validation", bundle_id="other-0a1b2c3d")
    code, _, err = run(capsys, file, "--bundle", tmp_path / "other")
    assert (code, "tiny-0a1b2c3d" in err, "other-0a1b2c3d" in err) == (1, True, True)


def test_hostile_files_are_refused_in_words(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sketch.json"
    sound = told_by(home, "like")
    for damage in (
        {"sketch": {}},
        {"sketch": []},
        {"sketch": {**sound["sketch"], "n": -1}},
        {"bundle": 3},
        {"since": "\x1b[2J"},
        {"since": ["now"]},
        {"reference": "me"},
    ):
        write_json(file, {**sound, **damage})
        code, _, err = run(capsys, file, "--bundle", home / "bundle")
        assert code == 1, damage
        assert "error:" in err
        assert "\x1b" not in err
        assert "did not foresee" not in err
    file.write_bytes(b"\x89PNG")
    code, _, err = run(capsys, file, "--bundle", home / "bundle")
    assert (code, "no JSON" in err) == (1, True)


def test_bundles_without_a_reference_still_read_and_say_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tiny_bundle(tmp_path / "old")
    assert read_reference(old) is None
    code, _, err = run(capsys, home / "like", "--bundle", tmp_path / "old")
    assert (code, "older kennel" in err, "kennel export runs/tiny" in err) == (1, True, True)


def test_a_reference_that_was_changed_or_is_of_another_bundle_is_refused(
    home: Path, tmp_path: Path
) -> None:
    bundle = with_reference(tmp_path / "bundle", home / "validation")
    text = (bundle.path / SKETCH_JSON).read_text(encoding="utf-8")

    def read(changed: str, *, listed: bool) -> None:
        (bundle.path / SKETCH_JSON).write_text(changed, encoding="utf-8")
        if listed:
            files = {**bundle.files, SKETCH_JSON: entry(bundle.path / SKETCH_JSON)}
            write_bundle(replace(bundle, files=files))
        read_reference(read_bundle(bundle.path))

    with pytest.raises(BundleError, match="not the file that was exported"):
        read(text.replace('"n": 60', '"n": 61'), listed=False)
    for changed, words in (
        (text.replace("tiny-0a1b2c3d", "other"), "of another bundle"),
        (text.replace('"red"', '"pink"'), "of another bundle"),
        (text.replace('"n": 60', '"n": 61'), "61"),
        ("{", "cannot be used"),
        ("[" * 100_000, "cannot be used"),
    ):
        with pytest.raises(BundleError, match=words):
            read(changed, listed=True)
    read(text, listed=True)


def test_rates_of_another_kind_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("0", "1", "many", "nan"):
        with pytest.raises(SystemExit) as left:
            main(["drift", "photos", "--false-alarms", word])
        assert left.value.code == 2
        assert "no rate from 0.001 to 0.5" in capsys.readouterr().err
