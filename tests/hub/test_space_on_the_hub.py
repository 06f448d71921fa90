"""A Space is made and changed in one commit, or not at all, and every refusal has words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import coloured_photos, tiny_bundle
from loopback_hub import ATTRIBUTES, EXPIRED, READER, Fault, Hub
from space_verb import Said, Space

from kennel.bundle import Bundle

pytestmark = pytest.mark.slow  # each command is a process that loads the Hub's library
NAME = "anna/dogs"


def refused(said: Said, hub: Hub, *words: str, commits: int | None = None) -> None:
    """It said each of the words, how to mend it, and changed no file of any Space."""
    assert said.code != 0
    assert said.err.count("error: ") == 1
    assert "\nfix: " in said.err
    for word in words:
        assert word in said.err, said.err
    if commits is None:
        assert hub.repos == {}
    else:
        assert len(hub.repos[NAME].commits) == commits


def test_a_new_space_is_private_and_filled_in_one_commit_with_large_files_by_lfs(
    hub: Hub, space: Space, tiny: Bundle, tmp_path: Path
) -> None:
    photos = coloured_photos(tmp_path / "photos")
    said = space(NAME, "--examples", str(photos))
    assert said.code == 0, said.err
    repo = hub.repos[NAME]
    assert repo.private
    assert (repo.sdk, len(repo.commits)) == ("gradio", 2)  # the Hub's own first page, and ours
    assert hub.count("POST", "/commit/main") == 1
    told = said.document
    assert (told["created"], told["private"], told["commit"]) == (True, True, repo.head)
    assert told["url"] == f"{hub.address}/spaces/{NAME}"
    assert set(repo.files) == {".gitattributes", *(file["path"] for file in told["files"])}
    assert repo.files["bundle/model.onnx"] == (tiny.path / "model.onnx").read_bytes()
    assert "bundle/model.onnx" in repo.large
    assert "app.py" not in repo.large
    # Each large file was announced, sent, and confirmed.
    oids = {file["sha256"] for file in told["files"] if file["path"] in repo.large}
    assert hub.verified == oids == set(hub.objects)


def test_the_same_again_sends_nothing_and_a_changed_bundle_only_what_differs(
    hub: Hub, space: Space, tiny: Bundle
) -> None:
    assert space(NAME).code == 0
    first = hub.repos[NAME].head
    again = space(NAME)
    assert again.code == 0, again.err
    assert (again.document["sent"], again.document["commit"]) == ([], first)
    assert hub.count("POST", "/commit/main") == 1
    (tiny.path / "model.onnx").unlink()
    tiny_bundle(tiny.path, labels=("rouge", "vert", "bleu"))
    changed = space(NAME)
    assert changed.code == 0, changed.err
    assert len(hub.repos[NAME].commits) == 3
    assert {"bundle/bundle.json", "README.md", "kennel-space.json"} <= set(changed.document["sent"])
    assert "requirements.txt" not in changed.document["sent"]
    assert b"rouge" in hub.repos[NAME].files["bundle/bundle.json"]


def test_files_that_kennel_sent_before_and_sends_no_more_are_removed(
    hub: Hub, space: Space, tmp_path: Path
) -> None:
    photos = coloured_photos(tmp_path / "photos", per_label=1)
    assert space(NAME, "--examples", str(photos)).code == 0
    said = space(NAME)
    assert said.document["removed"] == ["examples/1.png", "examples/2.png", "examples/3.png"]
    assert not any(path.startswith("examples/") for path in hub.repos[NAME].files)


def test_a_large_file_goes_in_parts_where_the_hub_wants_it(
    hub: Hub, space: Space, tmp_path: Path
) -> None:
    from PIL import Image

    hub.in_parts = True
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = bytes(range(251)) * 5000
    Image.frombytes("RGB", (640, 640), noise[: 640 * 640 * 3]).save(photos / "a.bmp")
    said = space(NAME, "--examples", str(photos))
    assert said.code == 0, said.err
    assert hub.repos[NAME].files["examples/1.bmp"] == (photos / "a.bmp").read_bytes()
    assert hub.count("PUT", r"/lfs/[0-9a-f]+/\d") == 2


@pytest.mark.parametrize("path", ["notes.md", "app.py", "data/ä ö.csv"])
def test_a_space_with_files_of_somebody_else_is_refused_and_replaced_when_told(
    hub: Hub, space: Space, path: str
) -> None:
    hub.space(NAME, {path: b"mine", "README.md": b"---\nsdk: gradio\n---\n"})
    refused(space(NAME), hub, repr(path), "--replace", "Nothing was sent", commits=1)
    said = space(NAME, "--replace")
    assert said.code == 0, said.err
    assert hub.repos[NAME].files.get(path) != b"mine"
    assert hub.repos[NAME].files[".gitattributes"] == ATTRIBUTES
    assert len(hub.repos[NAME].commits) == 2


def test_a_file_of_ours_that_somebody_changed_on_the_hub_is_not_overwritten(
    hub: Hub, space: Space
) -> None:
    assert space(NAME).code == 0
    repo = hub.repos[NAME]
    repo.commit({**repo.files, "README.md": repo.files["README.md"] + b"\nmy words\n"})
    refused(space(NAME), hub, "'README.md'", "changed since", commits=3)


def test_a_manifest_that_lies_makes_nothing_kennels(hub: Hub, space: Space) -> None:
    lie = {"schema_version": 1, "files": {"secret.txt": {"sha256": "0" * 64, "git": "0" * 40}}}
    for manifest in (json.dumps(lie).encode(), b"[]", b"{", b"\xff", b'{"schema_version": 1}'):
        hub.space(NAME, {"secret.txt": b"mine", "kennel-space.json": manifest})
        refused(space(NAME), hub, "'secret.txt'", commits=1)


def test_a_space_of_another_kind_is_refused(hub: Hub, space: Space) -> None:
    hub.space(NAME, {"Dockerfile": b"FROM scratch\n"}, sdk="docker")
    refused(space(NAME), hub, "made with docker, not gradio", commits=1)


def test_who_sees_it_changes_only_when_told(hub: Hub, space: Space) -> None:
    assert space(NAME, "--public").code == 0
    assert not hub.repos[NAME].private
    assert space(NAME).document["private"] is False  # as it was
    assert space(NAME, "--private").document["private"] is True
    assert hub.repos[NAME].private
    assert space(NAME).document["private"] is True
    assert space(NAME, "--public").document["private"] is False
    assert not hub.repos[NAME].private


def test_who_may_write_but_not_show_it_is_told_so(hub: Hub, space: Space) -> None:
    hub.space(NAME, {"README.md": b"x"})
    hub.publishers[f"spaces/{NAME}"] = "workflow deploy-space"
    said = space(NAME, "--replace", "--private", env=from_a_workflow(hub))
    refused(said, hub, "may not change who sees anna/dogs", commits=1)


def test_without_a_token_nothing_is_asked(hub: Hub, space: Space) -> None:
    said = space(NAME, env={"HF_TOKEN": None})
    refused(said, hub, "there is no token", "hf auth login")
    assert hub.asked == []


def test_the_token_of_the_hubs_own_login_is_taken(hub: Hub, space: Space, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text("hf_writer\n", encoding="utf-8")
    said = space(NAME, env={"HF_TOKEN": None})
    assert said.code == 0, said.err
    assert "hf_writer" not in said.out + said.err


def test_a_token_that_has_expired_or_may_not_write_is_told_apart(hub: Hub, space: Space) -> None:
    refused(space(NAME, env={"HF_TOKEN": EXPIRED}), hub, "expired", "hf auth login")
    refused(space(NAME, env={"HF_TOKEN": READER}), hub, "may not write to anna/dogs")
    hub.space(NAME, {"README.md": b"---\nsdk: gradio\n---\n"})
    said = space(NAME, "--replace", env={"HF_TOKEN": READER})
    refused(said, hub, "may not write to anna/dogs", "whole or not", commits=1)


def test_a_name_that_the_token_may_not_see_is_taken(hub: Hub, space: Space) -> None:
    hub.space(NAME, {})
    hub.faults.append(Fault("GET", "/api/spaces/", 404, {"X-Error-Code": "RepoNotFound"}))
    refused(space(NAME), hub, "the name anna/dogs is taken", commits=1)


def test_a_limit_of_requests_says_how_long_to_wait(hub: Hub, space: Space) -> None:
    hub.space(NAME, {"README.md": b"x"})
    hub.faults.append(Fault("POST", "/commit/main", 429, {"Retry-After": "37"}))
    refused(space(NAME, "--replace"), hub, "no more requests", "wait 37 seconds", commits=1)


def test_somebody_who_was_faster_is_not_overwritten(hub: Hub, space: Space) -> None:
    hub.space(NAME, {"README.md": b"x"})
    hub.faults.append(Fault("POST", "/commit/main", 412))
    refused(space(NAME, "--replace"), hub, "changed by somebody else meanwhile", commits=1)
    # And the commit does say on which one it stands: the Hub takes no other.
    assert space(NAME, "--replace").code == 0


def test_an_upload_that_is_cut_changes_nothing_and_goes_on_with_what_arrived(
    hub: Hub, space: Space, tmp_path: Path
) -> None:
    hub.faults.append(Fault("POST", "/commit/main"))
    cut = space(NAME)
    refused(cut, hub, "the Hub does not answer", "the same command again", commits=1)
    assert "the same command fills it" in cut.err
    sent = hub.count("PUT", "/lfs/")
    assert sent == len(hub.objects) == 1
    again = space(NAME)
    assert again.code == 0, again.err
    assert hub.count("PUT", "/lfs/") == sent  # the large file was there already
    assert len(hub.repos[NAME].commits) == 2


def test_without_a_network_it_is_said(hub: Hub, space: Space) -> None:
    said = space(NAME, env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    refused(said, hub, "the Hub does not answer", "see that the network is there")


# ---- trusted publishing


def from_a_workflow(hub: Hub, **more: str) -> dict[str, str | None]:
    return {
        "HF_TOKEN": None,
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{hub.address}/github?api-version=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job",
        "HF_OIDC_RESOURCE": f"spaces/{NAME}",
        **more,
    }


def test_a_workflow_publishes_by_its_identity_without_a_stored_token(
    hub: Hub, space: Space
) -> None:
    repo = hub.space(NAME, {"README.md": b"x"})
    hub.publishers[f"spaces/{NAME}"] = "workflow deploy-space"
    said = space(NAME, "--replace", env=from_a_workflow(hub))
    assert said.code == 0, said.err
    assert len(repo.commits) == 2
    assert list(hub.issued.values()) == [f"spaces/{NAME}"]
    assert not any(token in said.out + said.err for token in hub.issued)


def test_a_workflow_that_the_space_does_not_trust_is_refused(hub: Hub, space: Space) -> None:
    hub.space(NAME, {"README.md": b"x"})
    said = space(NAME, "--replace", env=from_a_workflow(hub))
    refused(said, hub, "no token for spaces/anna/dogs", "Trusted Publishers", commits=1)


def test_a_workflow_without_the_right_to_an_identity_is_told_so(hub: Hub, space: Space) -> None:
    env = {**from_a_workflow(hub), "ACTIONS_ID_TOKEN_REQUEST_URL": None}
    refused(space(NAME, env=env), hub, "trusted publishing", "id-token: write")


def test_a_token_for_another_space_is_not_asked_for(hub: Hub, space: Space) -> None:
    env = from_a_workflow(hub, HF_OIDC_RESOURCE="spaces/anna/cats")
    refused(space(NAME, env=env), hub, "spaces/anna/cats", "HF_OIDC_RESOURCE=spaces/anna/dogs")
    assert hub.asked == []
