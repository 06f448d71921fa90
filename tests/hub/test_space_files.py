"""What a Space is made of: the bundle as it is, our lock, a page that the Hub reads; no more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import coloured_photos, tiny_bundle
from huggingface_hub.utils import HFValidationError, validate_repo_id
from loopback_hub import loopback_hub
from PIL import Image
from PIL.ExifTags import IFD

import kennel
from kennel.bundle import Bundle
from kennel.cli import main
from kennel.errors import UsageError
from kennel.hub.address import address
from kennel.hub.requirements import lock_text, pins, requirements_text

ROOT = Path(__file__).parents[2]
PINNED = ("--kennel", f"kennel-ml=={kennel.__version__}")
ODD = ("ré d: {}", "#green\u2028", "- 'blue\" ---")


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["space", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["space", *words]) != 0
    said = capsys.readouterr().err
    assert "error: " in said
    assert "fix: " in said
    return said


def written(bundle: Bundle, to: Path, *words: str) -> Path:
    assert main(["space", str(bundle.path), "--to", str(to), *PINNED, *words]) == 0
    return to


def front_matter(folder: Path) -> Any:
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_a_dry_run_shows_every_file_and_asks_nobody(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    with loopback_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        told = asked(capsys, str(tiny.path), "anna/dogs", "--dry-run", *PINNED)
        assert hub.asked == []
    out = written(tiny, tmp_path / "out")
    capsys.readouterr()
    sizes = {file["path"]: file["bytes"] for file in told["files"]}
    there = {
        path.relative_to(out).as_posix(): path.stat().st_size
        for path in out.rglob("*")
        if path.is_file()
    }
    del sizes["README.md"], there["README.md"]  # it has the Space's name as title
    del sizes["kennel-space.json"], there["kennel-space.json"]  # and so its checksum
    assert sizes == there
    assert main(["space", str(tiny.path), "--dry-run", *PINNED]) == 0
    shown = capsys.readouterr().out
    for file in told["files"]:
        assert file["path"] in shown
    assert tiny.files["model.onnx"].sha256 in shown
    assert "nothing: this was a dry run" in shown


def test_the_page_has_settings_that_yaml_reads_whatever_the_labels(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "odd", labels=ODD)
    told = front_matter(written(bundle, tmp_path / "out"))
    [gradio] = {pin.version for pin in pins(lock_text()) if pin.name == "gradio"}
    assert (told["sdk"], told["sdk_version"], told["app_file"]) == ("gradio", gradio, "app.py")
    assert told["license"] == "apache-2.0"
    assert len(told["short_description"]) <= 60
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert page.count("\n---\n") == 1  # the card's own settings do not come along


def test_python_of_a_space_is_python_of_the_image() -> None:
    from kennel.hub.readme import PYTHON

    text = (ROOT / "docker" / "ui.Dockerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"python:(\d+\.\d+)", text)) == {PYTHON}


def test_requirements_are_the_lock_package_by_package() -> None:
    lock = (ROOT / "locks" / "ui.lock").read_text(encoding="utf-8")
    packages = re.findall(r"^([a-z0-9][^ ]*==[^ ]+)", lock, re.MULTILINE)
    lines = requirements_text(lock, kennel="kennel-ml==1").splitlines()
    assert lines[1] == "kennel-ml==1"
    assert [line.partition(" ")[0] for line in lines[2:]] == packages
    assert len(packages) > 40
    assert "--hash" not in requirements_text(lock, kennel=None)


@pytest.mark.slow
def test_requirements_can_be_installed_together_with_what_the_hub_adds(
    tiny: Bundle, tmp_path: Path
) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not here")
    out = written(tiny, tmp_path / "out")
    told = front_matter(out)
    lines = (out / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wished = [line for line in lines if not line.startswith("kennel-ml")]  # in no index yet
    # As the Hub's builder adds to them.
    wished += [f"gradio[oauth]=={told['sdk_version']}", "uvicorn>=0.14.0"]
    (tmp_path / "wished.txt").write_text("\n".join(wished), encoding="utf-8")
    words = ["pip", "compile", "--quiet", "--python-version", told["python_version"]]
    done = subprocess.run(
        [uv, *words, "--python-platform", "linux", str(tmp_path / "wished.txt")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    if "Failed to fetch" in done.stderr or "Could not connect" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==(\S+)", done.stdout, re.MULTILINE))
    for pin in pins(lock_text()):
        if not pin.marker:
            assert found[pin.name] == pin.version


def test_examples_go_along_under_other_names(tiny: Bundle, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    coloured_photos(photos, per_label=1)
    (photos / "red" / "0.png").rename(photos / "red" / "aunt Zoë's dog, 12 High Street.PNG")
    out = written(tiny, tmp_path / "out", "--examples", str(photos))
    names = sorted(path.name for path in (out / "examples").iterdir())
    assert names == ["1.png", "2.png", "3.png"]


def test_a_photo_that_says_where_it_was_taken_is_not_shown(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    exif = Image.Exif()
    exif.get_ifd(IFD.GPSInfo).update({1: "N", 2: (52.0, 31.0, 12.0)})
    Image.new("RGB", (80, 80)).save(photos / "home.jpg", exif=exif)
    words = ("anna/dogs", "--examples", str(photos), *PINNED)
    assert "home.jpg say in their EXIF where" in refusal(capsys, str(tiny.path), *words)
    Image.new("RGB", (80, 80)).save(photos / "home.jpg")
    assert main(["space", str(tiny.path), *words, "--dry-run"]) == 0


def test_a_folder_that_holds_something_is_left_alone(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    said = refusal(capsys, str(tiny.path), "--to", str(out), *PINNED)
    assert "'mine.txt'" in said
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_bundle_that_is_damaged_or_none_is_refused(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert "not a bundle" in refusal(capsys, str(tmp_path / "empty"), "--dry-run", *PINNED)
    content = bytearray((tiny.path / "model.onnx").read_bytes())
    content[9] ^= 1
    (tiny.path / "model.onnx").write_bytes(content)
    said = refusal(capsys, str(tiny.path), "anna/dogs", *PINNED)
    assert "not the file that was exported" in said
    (tiny.path / "model.onnx").unlink()
    assert "is missing" in refusal(capsys, str(tiny.path), "anna/dogs", *PINNED)


def test_what_a_link_in_a_bundle_leads_to_is_not_published(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (tiny.path / "model.sig").symlink_to(tmp_path / "secret")
    assert "symbolic link" in refusal(capsys, str(tiny.path), "anna/dogs", *PINNED)


def test_files_beside_the_bundle_stay_at_home(tiny: Bundle, tmp_path: Path) -> None:
    (tiny.path / "notes.txt").write_text("mine", encoding="utf-8")
    out = written(tiny, tmp_path / "out")
    assert sorted(path.name for path in (out / "bundle").iterdir()) == ["bundle.json", "model.onnx"]


def test_an_unsigned_bundle_is_refused_where_a_signature_is_required(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("model_signing")
    from kennel.signing import new_key_pair

    _, public = new_key_pair(tmp_path / "keys")
    words = ("anna/dogs", "--require-signature", str(public), *PINNED)
    assert "is not signed" in refusal(capsys, str(tiny.path), *words)


NAMES = ["anna/dogs", "a/b", "Anna_1/my.dogs-2", "anna", "", "/", "a/b/c", "anna/dogs.git"]
NAMES += ["anna/do gs", "anna/--dogs", "anna/d..s", "änna/dogs", "anna/-dogs", "anna/dogs."]
NAMES += [
    "anna/" + "d" * 90,
    "anna/" + "d" * 120,
    "anna/../x",
    "anna/dogs\n",
    "an na/x",
    "a/b@main",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_taken_where_the_hub_takes_it(name: str) -> None:
    try:
        validate_repo_id(name)
        fine = name.count("/") == 1  # theirs lets names without an owner through
    except HFValidationError:
        fine = False
    if fine:
        assert str(address(name)) == name
        assert str(address(f"https://huggingface.co/spaces/{name}")) == name
    else:
        with pytest.raises(UsageError):
            address(name)


def test_without_a_place_to_go_it_is_wrong_usage(
    tiny: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["space", str(tiny.path)]) == 2
    assert "to which Space?" in capsys.readouterr().err


@pytest.mark.slow
def test_the_folder_answers_as_the_space_would_and_as_predict_does(
    tiny: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert main(["space", str(tiny.path), "--to", str(out), "--kennel", str(ROOT)]) == 0
    [wheel] = (out / "wheels").iterdir()
    photo = coloured_photos(tmp_path / "photos", per_label=1) / "red" / "0.png"
    # As on the Hub, where app.py is started in a process of its own, from its folder.
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    env |= {"GRADIO_SERVER_PORT": "0", "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "app.py", "--json"],
        cwd=out,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        try:
            answer = answer_of(json.loads(line)["url"], photo)
            # The Kennel that runs is the one of the wheel: it left its compiled files there.
            [unpacked] = tmp_path.glob("kennel-*/kennel")
            assert list((unpacked / "ui" / "__pycache__").glob("app.*"))
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert not unpacked.exists()
    done = subprocess.run(
        [sys.executable, "-m", "kennel", "predict", str(tiny.path), str(photo), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    [told] = json.loads(done.stdout)
    for key in ("label", "probability", "known", "top", "bundle"):
        assert answer[key] == told[key]
    # A wheel with other bytes is not run.
    wheel.write_bytes(wheel.read_bytes() + b"x")
    spoiled = subprocess.run(
        [sys.executable, "app.py"], cwd=out, env=env, capture_output=True, text=True, check=False
    )
    assert spoiled.returncode == 1
    assert "is not the file that was sent" in spoiled.stderr


def answer_of(url: str, photo: Path) -> Any:
    """A photo's answer by the app's own API: uploaded, asked for, read from the events."""
    import httpx

    with httpx.Client(base_url=url, timeout=60) as client:
        files = {"files": (photo.name, photo.read_bytes())}
        [path] = client.post("/gradio_api/upload", files=files).json()
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, 3]
        event = client.post("/gradio_api/call/predict", json={"data": data}).json()["event_id"]
        said = client.get(f"/gradio_api/call/predict/{event}").text
    return json.loads(said.split("event: complete\ndata: ")[1].splitlines()[0])[0]
