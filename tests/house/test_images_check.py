"""The parts of `make images-check` that need no image: sandbox, what is taken out, proof.

The whole of it builds for minutes and runs as `make images-check` alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from bundles import tiny_bundle

from kennel.cloud.rehearsal import container as sandbox

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools" / "images_check"))

import building  # noqa: E402

LONGEST_S = 60.0


def python(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def site(folder: Path, *names: str) -> Path:
    """An environment with these files."""
    packages = folder / "lib" / "python3.12" / "site-packages"
    for name in names:
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("VALUE = 1\n" if name.endswith(".py") else "", encoding="utf-8")
    return packages


def test_what_only_installs_builds_or_tests_is_taken_out_of_a_serving_environment(
    tmp_path: Path,
) -> None:
    gone = (
        *("pip/__init__.py", "pip-25.0.dist-info/METADATA", "setuptools/x.py"),
        *("numpy/tests/test_a.py", "numpy/f2py/x.py", "numpy/core.pyi", "numpy/include/a.h"),
        *("onnxruntime/capi/libonnxruntime.so.1.32.0", "onnxruntime/transformers/x.py"),
    )
    kept = (
        *("numpy/testing/__init__.py", "numpy/core.py", "numpy-2.dist-info/METADATA"),
        *("onnxruntime/capi/onnxruntime_pybind11_state.so", "pipes_of_ours/__init__.py"),
    )
    packages = site(tmp_path, *gone, *kept)
    done = python(ROOT / "docker" / "lean.py", "serving", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [name for name in gone if (packages / name).exists()] == []
    assert [name for name in kept if not (packages / name).exists()] == []


def test_what_stays_is_compiled_so_that_times_do_not_matter(tmp_path: Path) -> None:
    packages = site(tmp_path, "mine/__init__.py")
    assert python(ROOT / "docker" / "lean.py", "serving", tmp_path).returncode == 0
    [compiled] = packages.rglob("*.pyc")
    flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
    assert flags == 0b01, "found valid by its hash, without looking"


def test_lean_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    done = python(ROOT / "docker" / "lean.py", "everything", tmp_path)
    assert done.returncode == 1
    assert "python lean.py serving FOLDER" in done.stderr


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    """docker/proof.py of an image whose /bundle is a folder here."""
    text = (ROOT / "docker" / "proof.py").read_text(encoding="utf-8")
    assert text.count('Path("/bundle")') == 1
    path = tmp_path / "proof.py"
    bundle = tmp_path / "bundle"
    path.write_text(text.replace('Path("/bundle")', f"Path({str(bundle)!r})"), encoding="utf-8")
    if os.getuid() == 0:
        path.write_text(path.read_text().replace("os.getuid() == 0", "False"), encoding="utf-8")
    return path


def test_a_build_ends_where_what_was_put_in_does_not_start(proof: Path) -> None:
    assert python(proof, "json", "kennel.bundle").returncode == 0
    assert "No module named 'kennel.nowhere'" in python(proof, "kennel.nowhere").stderr


def test_a_build_ends_where_something_is_in_that_must_not_be(proof: Path) -> None:
    done = python(proof, WITHOUT="json sh nothing_of_the_kind")
    assert done.returncode == 1
    assert done.stderr == "error: this image has json, sh.\n"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be refused for it")
def test_a_build_ends_where_the_image_would_run_as_root() -> None:
    done = python(ROOT / "docker" / "proof.py")
    assert done.returncode == 1
    assert "runs as root" in done.stderr


def test_the_label_names_the_bundle_that_is_in_the_image_or_the_build_ends(proof: Path) -> None:
    assert python(proof).returncode == 0, "no bundle, and none is said to be there"
    missing = python(proof, BUNDLE_ID="dogs")
    assert "the label says that bundle dogs is in the image; there is none" in missing.stderr
    bundle = tiny_bundle(proof.parent / "bundle")
    other = python(proof, BUNDLE_ID="dogs")
    assert f"fix: add --build-arg BUNDLE_ID={bundle.bundle_id}" in other.stderr
    assert python(proof, BUNDLE_ID=bundle.bundle_id).returncode == 0
    with (bundle.path / "model.onnx").open("ab") as file:
        file.write(b"x")
    changed = python(proof, BUNDLE_ID=bundle.bundle_id)
    assert changed.returncode == 1
    assert "is not the file that was exported" in changed.stderr


def test_settings_of_pip_reach_a_build_without_a_path_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels, index = tmp_path / "wheels", tmp_path / "index" / "simple"
    for folder in (wheels, index):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("here", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("not for a build", encoding="utf-8")
    (tmp_path / "ca.pem").write_text("", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"https://mirror.example/simple file://{index}")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ca.pem"))
    with building.pip_settings(tmp_path) as given:
        said = (tmp_path / "pip.conf").read_text(encoding="utf-8")
        assert str(tmp_path) not in said
        assert "https://mirror.example/simple http://127.0.0.1:" in said
        assert "cert = /etc/ca.pem" in said
        settings = dict(line.split(" = ") for line in said.splitlines()[1:])
        places = [settings["find-links"], settings["extra-index-url"].split()[1] + "/"]
        for place in places:
            assert urllib.request.urlopen(f"{place}a.txt").read() == b"here"
            for outside in ("../secret.txt", "../../secret.txt", "%2e%2e/secret.txt"):
                with pytest.raises(urllib.error.HTTPError):
                    urllib.request.urlopen(f"{settings['find-links']}{outside}")
    assert f"id=ca.pem,src={tmp_path / 'ca.pem'}" in given.secrets
    assert f"id=pip.conf,src={tmp_path / 'pip.conf'}" in given.secrets
    assert f"TORCH_WHEELS={settings['find-links']}" in given.torch


def test_every_base_of_every_image_is_found() -> None:
    for name in ("serve", "train", "ui"):
        found = building.bases_of(name)
        assert any("/python:" in reference for reference, _ in found)
        assert all(len(digest) == len("sha256:") + 64 for _, digest in found)
    assert any("lambda-adapter" in reference for reference, _ in building.bases_of("serve"))


@pytest.fixture
def image() -> sandbox.Image:
    """This machine's own files, as if they were an image's."""
    words = ["unshare", *sandbox.NAMESPACES, "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"needs unshare, of util-linux: {error}")
    if done.returncode:
        pytest.skip(f"this system permits no mounts: {done.stderr.strip()}")
    config = {"User": "1000:1000", "Entrypoint": ["sh", "-c"], "Env": ["PATH=/usr/bin:/bin", "A=b"]}
    return sandbox.Image(Path("/"), config)


def test_a_container_may_write_into_tmp_alone_and_is_nobody_special(
    image: sandbox.Image, tmp_path: Path
) -> None:
    script = """
    echo user $(id -u):$(id -g) groups $(id -G) process $$ A $A ${HOME-nothing}
    touch /var/tmp/x 2>&1; touch /tmp/x && echo wrote /tmp
    grep -E 'CapEff|NoNewPrivs' /proc/self/status; ls /dev; ls /tmp
    """
    code, said = sandbox.run(image, log=tmp_path / "log", arguments=[script], timeout_s=LONGEST_S)
    assert code == 0, said
    assert "user 1000:1000 groups 1000 process 1 A b nothing" in said
    assert "Read-only file system" in said
    assert "wrote /tmp" in said
    assert "CapEff:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    assert said.split("NoNewPrivs:\t1\n")[1].split() == [
        *("full", "null", "random", "urandom", "zero"),
        "x",
    ]


def test_a_container_is_told_to_stop_as_engines_tell_it(
    image: sandbox.Image, tmp_path: Path
) -> None:
    script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    container = sandbox.start(image, log=tmp_path / "log", arguments=[script])
    try:
        while "up" not in container.said():
            assert container.process.poll() is None, container.said()
        code, took = container.stop(timeout_s=LONGEST_S)
        assert (code, took < LONGEST_S) == (7, True)
    finally:
        container.kill()
    deaf = sandbox.start(image, log=tmp_path / "log", arguments=["echo up; exec sleep 100"])
    while "up" not in deaf.said():
        assert deaf.process.poll() is None, deaf.said()
    with pytest.raises(subprocess.TimeoutExpired):
        deaf.stop(timeout_s=0.3)
    assert deaf.process.poll() is not None, "it is killed"
