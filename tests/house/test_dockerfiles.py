"""What the Dockerfiles promise, read from their instructions.

`make images-check` builds and runs them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from dockerfiles import Instruction, Stage, stages_of

ROOT = Path(__file__).parents[2]
NAMES = ("serve", "train", "ui")
SERVING = ("serve", "ui")
DIGEST = re.compile(r"^\S+/\S+:[\w][\w.-]*@sha256:[0-9a-f]{64}$")
SECRET = re.compile(r"secret|password|passwd|token|credential|api_?key|private", re.IGNORECASE)
# A trail into a shell of what somebody else's server says at that moment.
PIPED = re.compile(r"\b(curl|wget)\s+\S*(-|http)|\|\s*(ba|da|z)?sh\b|^ADD\b")


def dockerfile(name: str) -> str:
    return (ROOT / "docker" / f"{name}.Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(params=NAMES)
def stages(request: pytest.FixtureRequest) -> list[Stage]:
    return stages_of(dockerfile(request.param))


@pytest.fixture(params=SERVING)
def serving(request: pytest.FixtureRequest) -> list[Stage]:
    return stages_of(dockerfile(request.param))


def test_the_parser_reads_flags_continued_lines_and_comments() -> None:
    text = "# c\nARG A=1\nFROM a/b:1@sha256:0 AS one\n"
    text += "RUN --mount=type=x \\\n  # between\n  a && \\\n  b\n"
    [stage] = stages_of(text)
    assert (stage.base, stage.name) == ("a/b:1@sha256:0", "one")
    assert stage.instructions == (Instruction("RUN", ("--mount=type=x",), "a &&    b"),)
    with pytest.raises(ValueError, match="no instruction"):
        stages_of("FROM scratch\nwhatever")


def test_every_base_is_named_with_its_registry_tag_and_digest(stages: list[Stage]) -> None:
    known = {"scratch"}
    for stage in stages:
        assert stage.base in known or DIGEST.match(stage.base), stage.base
        assert ":latest" not in stage.base
        known.add(stage.name)
        for copy in stage.all("COPY"):
            sources = [flag.partition("=")[2] for flag in copy.flags if flag.startswith("--from=")]
            assert set(sources) <= known, f"COPY --from={sources} is no stage"


def test_all_images_stand_on_the_same_python() -> None:
    bases = {
        stage.base
        for name in NAMES
        for stage in stages_of(dockerfile(name))
        if "/python:" in stage.base
    }
    assert len(bases) == 1, bases


def test_what_is_installed_is_installed_by_hash_without_looking_for_more(
    stages: list[Stage],
) -> None:
    runs = [each.rest for stage in stages for each in stage.all("RUN")]
    installs = [
        part
        for run in runs
        for part in run.split("&&")
        if re.search(r"\bpip\b.* (install|wheel) ", part)
    ]
    assert installs
    for part in installs:
        assert "--no-deps" in part, part
        assert "locks/" in part or "--no-index" in part or '"$@"' in part, part
    copied = {word for stage in stages for copy in stage.all("COPY") for word in copy.rest.split()}
    assert {"locks/build.lock", "locks"} & copied
    for lock in {word for word in copied if word.endswith(".lock")}:
        assert "--require-hashes" in (ROOT / lock).read_text(encoding="utf-8").splitlines(), lock


def test_no_image_takes_what_a_server_says_into_a_shell(stages: list[Stage]) -> None:
    for stage in stages:
        for each in stage.instructions:
            assert not PIPED.search(f"{each.name} {each.rest}"), each
    assert PIPED.search("RUN curl https://x | sh")
    assert PIPED.search("RUN cat x | bash")


def test_no_argument_or_variable_is_a_secret(stages: list[Stage]) -> None:
    for stage in stages:
        for kind in ("ARG", "ENV", "LABEL"):
            assert [name for name in stage.pairs(kind) if SECRET.search(name)] == []
    assert SECRET.search("PIP_PASSWORD")
    assert SECRET.search("HF_TOKEN")


def test_settings_of_pip_come_as_secrets_and_stay_nowhere(stages: list[Stage]) -> None:
    [install] = [
        each for stage in stages for each in stage.all("RUN") if "locks/build.lock" in each.rest
    ]
    assert "--mount=type=secret,id=pip.conf,target=/etc/pip.conf" in install.flags
    assert "--mount=type=secret,id=ca.pem,target=/etc/ca.pem" in install.flags


def test_it_runs_as_a_user_that_is_not_root(stages: list[Stage]) -> None:
    assert stages[-1].one("USER").rest == "1000:1000"
    assert any("--uid 1000 --gid 1000" in run.rest for stage in stages for run in stage.all("RUN"))


def test_it_needs_to_write_nowhere_but_into_tmp(stages: list[Stage]) -> None:
    env = stages[-1].pairs("ENV")
    assert env["HOME"] == "/tmp"
    assert env["PYTHONDONTWRITEBYTECODE"] == "1"
    assert env["USER"] == "kennel", "who has no name in the image has none for torch either"


def test_the_last_step_of_the_build_starts_what_was_put_in_as_that_user(
    stages: list[Stage],
) -> None:
    last = stages[-1].instructions[-1]
    assert last.name == "RUN"
    assert "docker/proof.py" in " ".join(last.flags)
    assert "kennel." in last.rest
    order = [each.name for each in stages[-1].instructions]
    assert order.index("USER") < len(order) - 1


def test_it_is_built_in_stages_and_no_source_is_in_what_is_shipped(stages: list[Stage]) -> None:
    assert len(stages) >= 3
    for copy in stages[-1].all("COPY"):
        assert any(flag.startswith("--from=") for flag in copy.flags), copy


def test_its_labels_say_where_it_comes_from(stages: list[Stage]) -> None:
    labels = stages[-1].pairs("LABEL")
    for name in ("source", "revision", "version"):
        assert labels[f"org.opencontainers.image.{name}"] == f"${{{name.upper()}}}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    arguments = stages[-1].pairs("ARG")
    assert {"SOURCE", "REVISION", "VERSION"} <= set(arguments)
    used = {word for said in labels.values() for word in re.findall(r"\$\{(\w+)\}", said)}
    assert used <= set(arguments)


def test_the_label_of_the_base_is_the_base(stages: list[Stage]) -> None:
    base = next(stage.base for stage in stages if "/python:" in stage.base)
    said = stages[-1].pairs("LABEL")["org.opencontainers.image.base.name"]
    assert base.startswith(f"{said}@")


def test_a_serving_image_names_its_bundle_and_takes_it_from_a_named_context(
    serving: list[Stage],
) -> None:
    assert serving[-1].pairs("LABEL")["kennel.bundle_id"] == "${BUNDLE_ID}"
    [stage] = [each for each in serving if each.name == "bundle"]
    assert stage.base == "scratch"
    assert serving[-1].one("CMD").rest == '["/bundle"]'
    [copy] = [each for each in serving[-1].all("COPY") if "--from=bundle" in each.flags]
    assert copy.rest == "/ /bundle/"
    assert "--chmod=755" in copy.flags, "another user than the builder's reads it"


def test_a_serving_image_starts_from_nothing_so_that_no_layer_has_what_was_taken_out(
    serving: list[Stage],
) -> None:
    assert serving[-1].base == "scratch"
    proof = serving[-1].instructions[-1].rest
    [without] = re.findall(r'WITHOUT="([^"]*)"', proof)
    assert {"torch", "pip", "gcc", "curl"} <= set(without.split())


def test_its_health_check_needs_only_python(serving: list[Stage]) -> None:
    check = serving[-1].one("HEALTHCHECK")
    assert {flag.partition("=")[0] for flag in check.flags} >= {
        "--interval",
        "--timeout",
        "--start-period",
    }
    words = json.loads(check.rest.removeprefix("CMD"))
    assert words[0] == "python"
    compile(words[-1], "<health check>", "exec")
    assert "127.0.0.1" in words[-1]


def test_words_are_lists_so_that_kennel_itself_hears_signals(stages: list[Stage]) -> None:
    for name in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(stages[-1].one(name).rest), list)
    assert json.loads(stages[-1].one("ENTRYPOINT").rest)[0] == "kennel"


def test_the_serve_image_is_a_lambda_function_by_the_web_adapter_alone() -> None:
    stages = stages_of(dockerfile("serve"))
    [adapter] = [stage for stage in stages if stage.name == "adapter"]
    assert "/aws-lambda-adapter:" in adapter.base
    assert not adapter.instructions
    [copy] = [each for each in stages[-1].all("COPY") if "--from=adapter" in each.flags]
    assert copy.rest == "/lambda-adapter /opt/extensions/lambda-adapter"
    env = stages[-1].pairs("ENV")
    assert env["AWS_LWA_READINESS_CHECK_PATH"] == "/ready"
    assert env["AWS_LWA_PORT"] == env["KENNEL_SERVE_PORT"] == stages[-1].one("EXPOSE").rest
    assert env["KENNEL_SERVE_HOST"] == "0.0.0.0"
    assert not any("awslambdaric" in each.rest for stage in stages for each in stage.instructions)


def test_the_train_image_is_for_a_processor_or_for_cuda_by_an_argument() -> None:
    stages = stages_of(dockerfile("train"))
    [build] = [stage for stage in stages if stage.name == "build"]
    assert build.pairs("ARG")["TORCH"] == "cpu"
    assert build.pairs("ARG")["EXTRAS"] == "train"
    [install] = [run.rest for run in build.all("RUN") if "locks/build.lock" in run.rest]
    assert "locks/torch-cpu.lock" in install
    assert "locks/torch.lock" in install
    assert stages[-1].pairs("ENV")["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


def ignored(name: str) -> bool:
    """Whether .dockerignore keeps a path out of every build: the last pattern that fits decides."""
    kept_out = False
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        back, pattern = line.startswith("!"), line.removeprefix("!")
        parts = Path(name).parts
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        tail = pattern.removeprefix("**/")
        if any(
            fnmatch(head, pattern) or (tail != pattern and fnmatch(Path(head).name, tail))
            for head in heads
        ):
            kept_out = not back
    return kept_out


@pytest.mark.parametrize(
    "name",
    [
        *(
            "data/dataset.csv",
            "runs/1/config.yaml",
            "bundles/1/model.onnx",
            "studies/a.db",
            ".git/config",
        ),
        *(
            "keys/private.pem",
            "src/private.pem",
            ".env",
            "src/.env.local",
            ".venv/bin/python",
            "notes.txt",
        ),
        *(
            "src/kennel/__pycache__/x.pyc",
            ".dvc/config.local",
            "registry/history.jsonl",
            ".kennel/cache/x",
        ),
    ],
)
def test_no_build_sees_photos_runs_bundles_history_or_keys(name: str) -> None:
    assert ignored(name)


def test_builds_see_what_they_copy() -> None:
    for name in NAMES:
        for stage in stages_of(dockerfile(name)):
            for copy in stage.all("COPY"):
                if any(flag.startswith("--from=") for flag in copy.flags):
                    continue
                for source in copy.rest.split()[:-1]:
                    assert (ROOT / source).exists(), source
                    inner = [source] if (ROOT / source).is_file() else [f"{source}/x.py"]
                    assert not any(map(ignored, inner)), source


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_wheel_is_built_of_nothing_but_what_the_image_copies(name: str, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    [build] = [stage for stage in stages_of(dockerfile(name)) if stage.name == "build"]
    for copy in build.all("COPY"):
        *sources, to = copy.rest.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / to)
            else:
                (tmp_path / to).mkdir(exist_ok=True)
                shutil.copy(ROOT / source, tmp_path / to)
    [line] = [run.rest for run in build.all("RUN") if "hatchling build" in run.rest]
    line = line.partition("&&")[0].replace("/opt/build/bin/python", sys.executable)
    line = line.replace("-d /wheel", f"-d {tmp_path / 'wheel'}")
    done = subprocess.run(
        line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "wheel").glob("kennel_ml-*.whl"))) == 1
