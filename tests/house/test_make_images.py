"""`make images`: which engine it takes, what it is told, and what is said where there is none."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (["kitchen"], {}, "there is no image called 'kitchen'"),
        (["train"], {"TORCH": "rocm"}, "TORCH is 'rocm'"),
        (["serve"], {"BUNDLE": "/nowhere"}, "/nowhere is not a bundle"),
        ([], {"ENGINE": "podwoman"}, "ENGINE is 'podwoman'"),
    ],
)
def test_make_images_says_what_is_wrong_and_what_to_do(
    words: list[str], env: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = images(words, env, tmp_path, engines=("buildah",))
    assert done.returncode == 2
    assert f"error: {said}" in done.stderr
    assert "\nfix: " in done.stderr


def test_make_images_says_what_to_install_where_no_engine_is(tmp_path: Path) -> None:
    done = images([], {}, tmp_path, engines=())
    assert done.returncode == 1
    assert "error: neither docker nor buildah is on this machine" in done.stderr
    assert "fix: install Docker" in done.stderr


def test_make_images_says_when_docker_is_there_and_does_not_answer(tmp_path: Path) -> None:
    done = images([], {}, tmp_path, engines=("docker",), works=False)
    assert done.returncode == 1
    assert "error: docker is here, but its engine does not answer" in done.stderr


def test_make_images_hands_each_build_its_labels_and_its_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text('{"bundle_id": "dogs-1"}', encoding="utf-8")
    done = images(["serve", "train"], {"BUNDLE": str(bundle)}, tmp_path, engines=("docker",))
    assert done.returncode == 0, done.stderr
    serve, train = [line for line in done.stdout.splitlines() if "buildx build" in line]
    assert f"--build-context bundle={bundle} --build-arg BUNDLE_ID=dogs-1" in serve
    assert "-t kennel-serve -f docker/serve.Dockerfile ." in serve
    assert "bundle" not in train
    assert "--build-arg TORCH=cpu --build-arg EXTRAS=train" in train
    for line in (serve, train):
        assert re.search(r"--build-arg REVISION=([0-9a-f]{40}(-dirty)?)? ", line)
        assert re.search(r"--build-arg VERSION=\d\S+ ", line)


def images(
    words: list[str],
    env: dict[str, str],
    folder: Path,
    *,
    engines: tuple[str, ...],
    works: bool = True,
) -> subprocess.CompletedProcess[str]:
    """tools/images on a machine that has these engines, each of which prints its words."""
    place = folder / "bin"
    place.mkdir()
    for tool in ("dirname", "sed", "git", "head", "printf"):
        found = subprocess.run(["which", tool], check=True, capture_output=True, text=True)
        (place / tool).symlink_to(found.stdout.strip())
    for engine in engines:
        path = place / engine
        path.write_text(f'#!/bin/sh\necho {engine} "$@"\nexit {0 if works else 1}\n', "utf-8")
        path.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "images"), *words],
        env={"PATH": str(place), **env},
        capture_output=True,
        text=True,
        check=False,
    )
