"""A bundle goes to a model's repository and comes back the same, or nothing happens at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import entry, tiny_bundle
from loopback_hub import EXPIRED, READER, Fault, Hub
from space_verb import Said, Space

from kennel.bundle import Bundle, FileEntry, read_bundle, write_bundle

pytestmark = pytest.mark.slow  # each command is a process that loads the Hub's library
NAME = "anna/dogs"
MODEL = f"models/{NAME}"
Change = Callable[[dict[str, bytes]], object]


def with_files(bundle: Bundle, **contents: bytes) -> Bundle:
    """The bundle with these files besides, listed; `__` in a name is a dot."""
    named = {name.replace("__", "."): content for name, content in contents.items()}
    for name, content in named.items():
        (bundle.path / name).write_bytes(content)
    files = {**bundle.files, **{name: entry(bundle.path / name) for name in named}}
    changed = replace(bundle, files=files)
    write_bundle(changed)
    return changed


@pytest.fixture
def timm_bundle(tmp_path: Path) -> Bundle:
    """A bundle with what timm loads; nobody parses it here."""
    card = b"---\nlibrary_name: timm\n---\n\n# Dogs\n"
    return with_files(
        tiny_bundle(tmp_path / "tiny"),
        model__safetensors=bytes(range(256)) * 9000,
        config__json=b'{"label_names": ["red", "green", "blue"]}\n',
        README__md=card,
    )


def refused(said: Said, *words: str) -> None:
    assert said.code == 1, said.out
    assert said.err.count("error: ") == 1
    assert "\nfix: " in said.err
    for word in words:
        assert word in said.err, said.err


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_pushed_comes_back_byte_for_byte(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path
) -> None:
    pushed = hub_verb("push", str(timm_bundle.path), NAME)
    assert pushed.code == 0, pushed.err
    repo = hub.repos[MODEL]
    assert repo.private
    assert len(repo.commits) == 2  # as the Hub makes it, and ours
    assert {"model.safetensors", "model.onnx"} <= repo.large
    assert pushed.document["url"] == f"{hub.address}/{NAME}"
    home = tmp_path / "bundles"
    pulled = hub_verb("pull", NAME, "--to", str(home))
    assert pulled.code == 0, pulled.err
    assert pulled.document["commit"] == repo.head
    assert files_of(home / timm_bundle.bundle_id) == files_of(timm_bundle.path)
    bundle = read_bundle(home / timm_bundle.bundle_id)
    assert all(bundle.file(name) for name in bundle.files)
    assert [each.name for each in home.iterdir()] == [bundle.bundle_id]


def test_the_same_again_sends_nothing(hub: Hub, hub_verb: Space, timm_bundle: Bundle) -> None:
    assert hub_verb("push", str(timm_bundle.path), NAME).code == 0
    head = hub.repos[MODEL].head
    again = hub_verb("push", str(timm_bundle.path), NAME)
    assert again.document["sent"] == []
    assert hub.repos[MODEL].head == head


def test_a_dry_run_shows_the_files_and_asks_nobody(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle
) -> None:
    said = hub_verb("push", str(timm_bundle.path), NAME, "--dry-run", env={"HF_TOKEN": None})
    names = [each["path"] for each in said.document["files"]]
    assert names == sorted({*timm_bundle.files, "bundle.json", "kennel-hub.json"})
    assert hub.asked == []


def test_a_repository_with_other_content_is_refused_and_replaced_when_told(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle
) -> None:
    repo = hub.model(NAME, {"pytorch_model.bin": b"\x80weights", "README.md": b"# mine\n"})
    words = ("push", str(timm_bundle.path), NAME)
    refused(hub_verb(*words), "README.md", "pytorch_model.bin", "--replace")
    assert len(repo.commits) == 1
    assert hub_verb(*words, "--replace").code == 0
    assert "pytorch_model.bin" not in repo.files


def test_a_bundle_without_what_timm_loads_is_refused(
    hub: Hub, hub_verb: Space, tmp_path: Path
) -> None:
    tiny = tiny_bundle(tmp_path / "bare")
    refused(hub_verb("push", str(tiny.path), NAME), "model.safetensors", "--formats")
    assert hub.asked == []


def test_no_pickle_goes_to_the_hub(hub: Hub, hub_verb: Space, timm_bundle: Bundle) -> None:
    with_files(timm_bundle, model__pt=b"PK\x03\x04")
    refused(hub_verb("push", str(timm_bundle.path), NAME), "model.pt", "pickle")
    assert hub.asked == []


def test_no_pickle_comes_from_the_hub(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path
) -> None:
    with_files(timm_bundle, weights__PTH=b"PK\x03\x04")
    hub.model(NAME, files_of(timm_bundle.path))
    refused(hub_verb("pull", NAME, "--to", str(tmp_path / "b")), "weights.PTH", "pickle")
    assert hub.count("GET", "/resolve/") == 1  # bundle.json alone
    assert not (tmp_path / "b").exists()


def test_a_revision_is_the_one_that_is_named(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path
) -> None:
    first = files_of(timm_bundle.path)
    repo = hub.model(NAME, first)
    early = repo.head
    with_files(timm_bundle, config__json=b'{"label_names": []}\n')
    repo.commit(files_of(timm_bundle.path))
    said = hub_verb("pull", NAME, "--to", str(tmp_path / "b"), "--revision", early)
    assert said.document["commit"] == early
    assert files_of(tmp_path / "b" / timm_bundle.bundle_id) == first
    refused(hub_verb("pull", NAME, "--to", str(tmp_path / "c"), "--revision", "v9"), "'v9'")


def test_a_folder_that_is_there_is_not_overwritten(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path
) -> None:
    hub.model(NAME, files_of(timm_bundle.path))
    mine = tmp_path / "b" / timm_bundle.bundle_id / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    refused(hub_verb("pull", NAME, "--to", str(tmp_path / "b")), "not empty")
    assert files_of(tmp_path / "b") == {f"{timm_bundle.bundle_id}/notes.txt": b"mine"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.pop("bundle.json"), "not a bundle"),
        (lambda files: files.pop("config.json"), "lacks config.json"),
        (lambda files: files.update({"config.json": b"{}"}), "config.json"),
        (lambda files: files.update({"config.json": files["config.json"][::-1]}), "sha256"),
        (lambda files: files.update({"bundle.json": b"{" * 3_000_000}), "more than"),
        (lambda files: files.update({"bundle.json": b"[]"}), "schema_version"),
        (
            lambda files: files.update(
                {"bundle.json": files["bundle.json"].replace(b"tiny-0a1b2c3d", b"tiny-0a1b2c3e")}
            ),
            "changed after",
        ),
    ],
)
def test_what_is_not_the_bundle_it_says_is_refused_and_leaves_nothing(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, change: Change, words: str
) -> None:
    files = files_of(timm_bundle.path)
    change(files)
    hub.model(NAME, files)
    home = timm_bundle.path.parent / "b"
    refused(hub_verb("pull", NAME, "--to", str(home)), words)
    assert not home.exists()


@pytest.mark.parametrize("name", ["../out.json", "/etc/out.json", "CON", "a\u202eb"])
def test_a_name_that_lies_elsewhere_is_refused(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path, name: str
) -> None:
    files = files_of(timm_bundle.path)
    write_bundle(replace(timm_bundle, files={**timm_bundle.files, name: FileEntry("0" * 64, 3)}))
    files["bundle.json"] = (timm_bundle.path / "bundle.json").read_bytes()
    hub.model(NAME, {**files, name: b"out"})
    refused(hub_verb("pull", NAME, "--to", str(tmp_path / "b")), "files names")
    assert not (tmp_path / "b").exists()


def test_a_way_that_breaks_off_is_gone_again(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path
) -> None:
    hub.model(NAME, files_of(timm_bundle.path))
    hub.faults.append(Fault("GET", "/resolve/.*safetensors", times=2))
    assert hub_verb("pull", NAME, "--to", str(tmp_path / "b")).code == 0
    hub.faults.append(Fault("GET", "/resolve/.*safetensors", times=3))
    said = hub_verb("pull", NAME, "--to", str(tmp_path / "c"))
    refused(said, "does not answer", "Nothing of it was kept")
    assert not (tmp_path / "c").exists()


def test_a_public_one_needs_no_token_and_a_private_one_is_told(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path
) -> None:
    repo = hub.model(NAME, files_of(timm_bundle.path))
    words = ("pull", NAME, "--to", str(tmp_path / "b"))
    repo.private = True
    refused(hub_verb(*words, env={"HF_TOKEN": None}), "no model repository anna/dogs")
    refused(hub_verb(*words, env={"HF_TOKEN": EXPIRED}), "does not know this token")
    assert hub_verb(*words, env={"HF_TOKEN": READER}).code == 0
    repo.private = False
    again = ("pull", NAME, "--to", str(tmp_path / "c"))
    assert hub_verb(*again, env={"HF_TOKEN": None}).code == 0


def test_an_unsigned_bundle_is_refused_where_a_signature_is_required(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle, tmp_path: Path
) -> None:
    from kennel.signing import new_key_pair, sign_bundle

    private, public = new_key_pair(tmp_path / "keys")
    required = ("--require-signature", str(public))
    refused(hub_verb("push", str(timm_bundle.path), NAME, *required), "not signed")
    repo = hub.model(NAME, files_of(timm_bundle.path))
    refused(hub_verb("pull", NAME, "--to", str(tmp_path / "b"), *required), "not signed")
    assert not (tmp_path / "b").exists()
    sign_bundle(timm_bundle.path, private_key=private)
    repo.commit(files_of(timm_bundle.path))
    said = hub_verb("pull", NAME, "--to", str(tmp_path / "b"), *required)
    assert said.code == 0, said.err
    assert (tmp_path / "b" / timm_bundle.bundle_id / "model.sig").is_file()


def test_a_workflow_publishes_a_model_by_its_identity(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle
) -> None:
    hub.publishers[NAME] = "workflow deploy-space"
    hub.model(NAME, {})
    env = {
        "HF_TOKEN": None,
        "HF_OIDC_RESOURCE": NAME,
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{hub.address}/github?x=1",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job",
    }
    said = hub_verb("push", str(timm_bundle.path), NAME, env=env)
    assert said.code == 0, said.err
    other = hub_verb("push", str(timm_bundle.path), "anna/cats", env=env)
    refused(other, "HF_OIDC_RESOURCE")


def test_the_card_of_the_repository_is_that_of_the_bundle(
    hub: Hub, hub_verb: Space, timm_bundle: Bundle
) -> None:
    assert hub_verb("push", str(timm_bundle.path), NAME, "--public").code == 0
    repo = hub.repos[MODEL]
    assert not repo.private
    assert repo.files["README.md"] == (timm_bundle.path / "README.md").read_bytes()
    told = json.loads(repo.files["kennel-hub.json"])
    assert told["bundle_id"] == timm_bundle.bundle_id
