"""compose.yml keeps what it promises: a verb a service, files that are the user's, nothing open."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from kennel.cli import VERBS
from kennel.serve.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yml"
GUIDE = ROOT / "docs" / "guide" / "compose.md"
DEVCONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
PROFILES = ("gpu", "mlflow", "s3")
ALWAYS = {"train", "tune", "eval", "inference", "test", "serve", "ui", "tensorboard", "hparams"}
MAKER = "s3-volume"  # the one that is root, to hand a volume over
# Compose's own reader of the file, without an engine: from the path, or where `make check` has it.
TOOLS = Path(sys.prefix) / "tools" / "compose" / "compose"
READER = shutil.which("docker-compose", path=f"{os.environ['PATH']}{os.pathsep}{TOOLS}")
needs_reader = pytest.mark.skipif(READER is None, reason="docker-compose is not installed")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Services as they are written, anchors followed and variables not."""
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    found: dict[str, Any] = document["services"]
    return found


def read(*words: str, **environment: str) -> dict[str, Any]:
    """Services as Compose reads them, under these variables and no others of ours."""
    assert READER is not None
    done = subprocess.run(
        [READER, "--env-file", os.devnull, *words, "config", "--format", "json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def makes(verb: str) -> str:
    """What `make` runs for a verb."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{verb}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found is not None, verb
    return found[1]


def test_the_services_are_those_of_make_and_what_stands_beside_them(
    services: dict[str, Any],
) -> None:
    assert {name for name, service in services.items() if "profiles" not in service} == ALWAYS
    beside = {name: s["profiles"] for name, s in services.items() if name not in ALWAYS}
    assert beside == {
        "train-gpu": ["gpu"],
        "mlflow": ["mlflow"],
        "train-mlflow": ["mlflow"],
        "s3-volume": ["s3"],
        "s3": ["s3"],
        "dvc": ["s3"],
        "promote": ["s3"],
    }


@needs_reader
@pytest.mark.parametrize(
    "profiles", list(chain.from_iterable(combinations(PROFILES, n) for n in range(4)))
)
def test_compose_reads_every_choice_of_profiles(profiles: tuple[str, ...]) -> None:
    found = read(*(word for name in profiles for word in ("--profile", name)))
    assert set(found) >= ALWAYS
    for name, service in found.items():
        assert set(service.get("profiles", profiles)) <= set(profiles), name
        assert set(service.get("depends_on", {})) <= set(found), name


@needs_reader
def test_one_variable_says_whose_photos_are_trained_on() -> None:
    assert read()["train"]["command"] == ["experiment=quick"]
    own = read(PHOTOS="mine", ARGS="experiment=finetune seed=1")
    assert own["train"]["command"] == ["data.photos=/photos", "experiment=finetune", "seed=1"]
    mounts = {m["target"]: m for m in own["train"]["volumes"]}
    assert mounts["/photos"]["source"] == str(ROOT / "mine")
    assert mounts["/photos"]["read_only"]
    assert {m["source"] for m in own["eval"]["volumes"]} == {str(ROOT), str(ROOT / "mine")}


@needs_reader
def test_address_ports_user_and_limits_are_settings() -> None:
    plain = read("--profile", "*")
    for name, service in plain.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
        assert service["user"] == ("0:0" if name == MAKER else "1000:1000"), name
        assert service["restart"] == "no", name
    own = read(KENNEL_UID="1234", KENNEL_GID="1235", KENNEL_MEMORY="2g", KENNEL_CPUS="1.5")
    assert {service["user"] for service in own.values()} == {"1234:1235"}
    assert {service["mem_limit"] for service in own.values()} == {str(2 * 2**30)}
    assert {service["cpus"] for service in own.values()} == {1.5}
    assert {service["user"] for service in read(UID="1", GID="2").values()} == {"1:2"}
    moved = read(BIND="0.0.0.0", SERVE_PORT="9090", KENNEL_RESTART="unless-stopped")["serve"]
    [port] = moved["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("0.0.0.0", "9090", 8080)
    assert moved["restart"] == "unless-stopped"


@needs_reader
def test_settings_of_the_server_reach_it_and_only_those_that_are_set() -> None:
    reached = read(KENNEL_SERVE_QUEUE="8", KENNEL_SERVE_KEYS="ab")["serve"]["environment"]
    given = {k: v for k, v in reached.items() if k.startswith(PREFIX) and v is not None}
    assert given == {"KENNEL_SERVE_QUEUE": "8", "KENNEL_SERVE_KEYS": "ab"}


def test_what_a_service_may_do_is_little(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert {"mem_limit", "cpus", "pids_limit"} <= {*service}, name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert all(mount.startswith("/tmp:") for mount in service["tmpfs"]), name
        assert not {"privileged", "pid", "ipc", "devices"} & {*service}, name
    assert {name for name, s in services.items() if "cap_add" in s} == {MAKER}
    assert services[MAKER]["cap_add"] == ["CHOWN"]
    assert services[MAKER]["network_mode"] == "none"


def test_services_that_need_no_network_have_none(services: dict[str, Any]) -> None:
    alone = {name for name, s in services.items() if s.get("network_mode") == "none"}
    assert alone == {"eval", "inference", "test", MAKER}


def test_files_that_containers_write_are_the_users(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["user"] == "0:0" if name == MAKER else "KENNEL_UID" in service["user"], name
        for mount in service["volumes"]:
            if isinstance(mount, str):
                assert mount == "s3:/store", name  # a volume, which MAKER hands over
            else:
                # Else Docker would make what is missing, as root.
                assert mount["bind"] == {"create_host_path": False}, name
    listed = subprocess.run(
        ["git", "ls-files", "bundles"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert listed.stdout.split() == ["bundles/.gitkeep"]  # a source of a mount that is always there


def test_what_answers_only_reads_bundles(services: dict[str, Any]) -> None:
    for name in ("serve", "ui"):
        [mount] = services[name]["volumes"]
        assert (mount["source"], mount["target"]) == ("./bundles", "/bundles"), name
        assert mount["read_only"] is True, name
    for name in ("tensorboard", "hparams"):
        assert [mount["read_only"] for mount in services[name]["volumes"]] == [True], name


def test_a_gpu_is_asked_for_where_it_is_named_and_nowhere_else(services: dict[str, Any]) -> None:
    assert {name for name, s in services.items() if "deploy" in s} == {"train-gpu"}
    [device] = services["train-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    torch = {n: s["build"]["args"]["TORCH"] for n, s in services.items() if "TORCH" in str(s)}
    assert {name for name, which in torch.items() if which == "cuda"} == {"train-gpu"}
    assert set(torch.values()) == {"cpu", "cuda"}


def test_compose_and_make_call_the_same_verbs(services: dict[str, Any]) -> None:
    assert re.search(r"^RUN \?= runs$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert re.search(r"^BUNDLE \?= bundles$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for name in ("train", "serve", "ui"):
        assert services[name]["entrypoint"] == ["kennel", name]
        assert f"$(KENNEL) {name} " in makes(name)
    assert services["inference"]["entrypoint"] == ["kennel", "predict", "bundles"]
    assert makes("inference").startswith("\t$(KENNEL) predict ")
    assert "$(BUNDLE) $(ARGS)" in makes("inference")
    assert services["eval"]["entrypoint"] == ["sh", "tools/eval"]
    assert "sh tools/eval " in makes("eval")
    assert services["test"]["entrypoint"] == ["python", "-m", "pytest"]
    assert "python -m pytest " in makes("test")
    for name, folder in (("tensorboard", "runs"), ("hparams", "studies")):
        assert services[name]["command"] == ["--logdir", folder]
        assert f"tensorboard --logdir {folder} " in makes(name)
    assert services["dvc"]["entrypoint"] == ["dvc"]
    assert " dvc repro " in makes("repro")


def test_every_verb_takes_the_words_that_it_is_given(services: dict[str, Any]) -> None:
    given = {
        name: [*service["entrypoint"], *service["command"]]
        for name, service in services.items()
        if service.get("entrypoint", [""])[0] == "kennel" and isinstance(service["command"], list)
    }
    assert set(given) == {"serve", "ui"}
    for name, words in given.items():
        assert words[1] in VERBS
        parser = argparse.ArgumentParser()
        importlib.import_module(f"kennel.cli.{words[1]}").add_arguments(parser)
        args = parser.parse_args(words[2:])
        [port] = services[name]["ports"]
        assert (str(args.bundle), args.host) == ("/bundles", "0.0.0.0")
        assert port.endswith(f":{args.port}")


def test_every_setting_of_the_server_can_be_set(services: dict[str, Any]) -> None:
    passed = {each for each in services["serve"]["environment"] if each.startswith(PREFIX)}
    # Address and port are the container's own; a file of keys would have to be mounted.
    known = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)}
    assert known - passed == {f"{PREFIX}{name}" for name in ("HOST", "PORT", "KEYS_FILE")}
    assert passed <= known


def test_requests_have_their_time_before_the_server_is_killed(services: dict[str, Any]) -> None:
    assert int(services["serve"]["stop_grace_period"].removesuffix("s")) > Settings().grace_seconds
    assert services["train"]["stop_grace_period"] == "2m"


def test_who_listens_says_whether_it_answers_and_who_needs_it_waits(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        listens = "ports" in service
        assert ("healthcheck" in service) == listens, name
        if listens:
            [port] = service["ports"]
            assert port.startswith("${BIND:-127.0.0.1}:${"), name
            assert f":{port.rpartition(':')[2]}/" in service["healthcheck"]["test"][-1], name
    waits = {name: s["depends_on"] for name, s in services.items() if "depends_on" in s}
    assert waits == {
        "train-mlflow": {"mlflow": {"condition": "service_healthy"}},
        "s3": {MAKER: {"condition": "service_completed_successfully"}},
        "dvc": {"s3": {"condition": "service_healthy"}},
        "promote": {"s3": {"condition": "service_healthy"}},
    }


def test_images_are_built_here_or_of_one_exact_version(services: dict[str, Any]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    images: dict[str, Any] = {}
    for name, service in services.items():
        build = service.get("build")
        if build is None:
            assert re.fullmatch(r"ghcr\.io/[\w/]+:v\d+\.\d+\.\d+", service["image"]), name
            continue
        assert service["pull_policy"] == "never", name
        kind = service["image"].partition(":")[0].removeprefix("kennel-")
        assert build["dockerfile"] == f"docker/{kind}.Dockerfile", name
        assert set(build.get("args", {}).get("EXTRAS", "train").split(",")) <= set(extras), name
        # One name, one recipe.
        assert images.setdefault(service["image"], build) == build, name


@pytest.mark.skipif(not (ROOT / "docker").is_dir(), reason="this checkout has no docker/")
def test_the_recipes_of_the_images_are_there_and_know_their_arguments(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        if "build" in service:
            text = (ROOT / service["build"]["dockerfile"]).read_text(encoding="utf-8")
            for argument in service["build"].get("args", {}):
                assert re.search(rf"^ARG {argument}\b", text, re.MULTILINE), (name, argument)


def test_no_secret_has_a_value_in_the_file() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    said = re.findall(r"\$\{(\w*SECRET\w*)([^}]*)\}", text)
    assert said
    assert {default for _, default in said} == {":-"}
    assert "/.env" in (ROOT / ".gitignore").read_text("utf-8").split()


def test_the_guide_names_every_variable() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))
    guide = GUIDE.read_text(encoding="utf-8")
    assert {name for name in used if f"`{name}`" not in guide} == set()
    assert {name for name in ALWAYS if f"`{name}`" not in guide} == set()


def test_the_devcontainer_is_the_image_of_the_tests(services: dict[str, Any]) -> None:
    said = json.loads(DEVCONTAINER.read_text(encoding="utf-8"))
    build = services["test"]["build"]
    assert (DEVCONTAINER.parent / said["build"]["context"]).resolve() == ROOT
    named = (DEVCONTAINER.parent / said["build"]["dockerfile"]).resolve()
    assert named == ROOT / build["dockerfile"]
    assert said["build"]["args"] == build["args"]
    assert "features" not in said  # each would be code from elsewhere, by a tag that moves
    assert said["remoteUser"] == "kennel"
    assert said["updateRemoteUserUID"] is True
    assert {"--cap-drop=ALL", "--security-opt=no-new-privileges"} <= set(said["runArgs"])
