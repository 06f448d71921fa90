"""A badge says what was covered; a release has all of its files, or is none, and never changes."""

from __future__ import annotations

import hashlib
import json
import xml.dom.minidom
from collections.abc import Iterator
from pathlib import Path

import pytest
from github_server import REPOSITORY, WORKFLOW, Github, github_server

import kennel
from kennel.cli import main
from kennel.errors import UsageError
from kennel.github import Api, GithubError
from kennel.github.badge import badge, covered, put_badge
from kennel.github.release import image_name, notes, publish, version_of

XML = """<?xml version="1.0" ?>
<coverage version="7.17" timestamp="1" lines-valid="{lines}" lines-covered="{ran}" \
line-rate="0.9" branches-covered="{taken}" branches-valid="{branches}" branch-rate="0.8">
</coverage>"""
LOG = "# Changelog\n\n## 1.2.0\n\n- new\n- more\n\n## 1.1.0\n\n- old\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    with github_server() as server:
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.setenv("GITHUB_API_URL", server.address)
        monkeypatch.setenv("GITHUB_TOKEN", WORKFLOW)
        yield server


@pytest.fixture
def api(hub: Github) -> Api:
    return Api(REPOSITORY, token=WORKFLOW, address=hub.address)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "dist" / name for name in ("a.whl", "b.tar.gz")]
    made[0].parent.mkdir()
    for path in made:
        path.write_text(path.name, encoding="utf-8")
    return made


# the badge


def test_the_share_is_of_lines_and_branches_as_coverage_counts_it(tmp_path: Path) -> None:
    report = tmp_path / "coverage.xml"
    report.write_text(XML.format(lines=900, ran=890, branches=100, taken=60), encoding="utf-8")
    assert covered(report) == 95.0


@pytest.mark.parametrize(
    ("percent", "words", "colour"),
    [(100.0, "100.0 %", "2F7D5B"), (99.96, "99.9 %", "2F7D5B"), (80.0, "80.0 %", "9A6414"),
     (0.0, "0.0 %", "A33A3A")],
)  # fmt: skip
def test_a_badge_is_a_picture_that_never_rounds_up(percent: float, words: str, colour: str) -> None:
    picture = badge(percent)
    xml.dom.minidom.parseString(picture)
    assert f">{words}<" in picture
    assert f'fill="#{colour}"' in picture
    assert "http" not in picture.replace('xmlns="http://www.w3.org/2000/svg"', "")


@pytest.mark.parametrize(
    "content", ["", "<html>", "<coverage>", XML.format(lines=0, ran=0, branches=0, taken=0)]
)
def test_a_report_without_totals_is_refused_in_words(content: str, tmp_path: Path) -> None:
    report = tmp_path / "coverage.xml"
    report.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        covered(report)
    assert error.value.fix.endswith("make test")


def test_the_branch_of_badges_has_one_commit_with_one_file(hub: Github, api: Api) -> None:
    first = put_badge(api, badge(90.0))
    second = put_badge(api, badge(91.0))
    assert first != second
    assert hub.branches == {"badges": second}
    commit = hub.commits[second]
    assert commit["parents"] == []
    [entry] = hub.trees[commit["tree"]]
    assert entry["path"] == "coverage.svg"
    assert ">91.0 %<" in entry["content"]


def test_a_badge_that_may_not_be_written_is_said(hub: Github, api: Api) -> None:
    hub.refuse[f"PATCH /repos/{REPOSITORY}/git/refs/heads/badges"] = 403
    with pytest.raises(GithubError) as error:
        put_badge(api, badge(90.0))
    assert "permissions" in error.value.fix
    assert hub.branches == {}


def test_a_badge_for_a_file_asks_nobody(hub: Github, tmp_path: Path) -> None:
    report = tmp_path / "coverage.xml"
    report.write_text(XML.format(lines=100, ran=90, branches=0, taken=0), encoding="utf-8")
    target = tmp_path / "coverage.svg"
    assert main(["github", "badge", str(report), "--to", str(target)]) == 0
    assert ">90.0 %<" in target.read_text(encoding="utf-8")
    assert hub.asked == []


# the release


def test_a_release_is_published_with_every_file_and_its_part_of_the_log(
    hub: Github, api: Api, files: list[Path]
) -> None:
    publish(api, "v1.2.0", text=notes(LOG, "1.2.0"), files=files)
    [release] = hub.releases
    assert release["draft"] is False
    assert release["prerelease"] is False
    assert release["body"] == "- new\n- more"
    assert {each["name"]: each["digest"] for each in release["assets"]} == {
        path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files
    }


def test_a_release_that_was_cut_off_stays_a_draft_and_is_gone_on_with(
    hub: Github, api: Api, files: list[Path]
) -> None:
    files[1].unlink()
    files[1].mkdir()
    with pytest.raises(UsageError, match="is no file"):
        publish(api, "v1.2.0", text="x", files=files)
    files[1].rmdir()
    files[1].write_text("b", encoding="utf-8")
    hub.refuse["POST /upload"] = 502
    with pytest.raises(GithubError):
        publish(api, "v1.2.0", text="x", files=files)
    assert [each["draft"] for each in hub.releases] == [True]
    hub.refuse.clear()
    publish(api, "v1.2.0", text="x", files=files)
    assert [each["draft"] for each in hub.releases] == [False]
    assert len(hub.releases[0]["assets"]) == 2


def test_a_release_that_is_out_is_never_changed(hub: Github, api: Api, files: list[Path]) -> None:
    where = publish(api, "v1.2.0", text="x", files=files)
    asked = len(hub.asked)
    assert publish(api, "v1.2.0", text="x", files=files) == where
    assert hub.asked[asked:] == [f"GET /repos/{REPOSITORY}/releases"]
    files[0].write_text("other", encoding="utf-8")
    with pytest.raises(GithubError, match="released already, with other files"):
        publish(api, "v1.2.0", text="x", files=files)


def test_a_candidate_is_marked_as_one(hub: Github, api: Api, files: list[Path]) -> None:
    publish(api, "v1.2.0rc1", text="x", files=files)
    assert hub.releases[0]["prerelease"] is True


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2", "v1.2.0.dev0", "v1.2.0; rm", "main", ""])
def test_a_tag_of_no_version_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="no tag of a release"):
        version_of(tag)


def test_a_version_that_the_log_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match=r"says nothing of 1\.2"):
        notes(LOG, "1.2")
    with pytest.raises(UsageError):
        notes("## 1.2.0\n\n## 1.1.0\n", "1.2.0")
    assert notes(LOG, "1.1.0") == "- old"


def test_a_tag_of_another_version_releases_nothing(
    hub: Github, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["github", "release", *map(str, files), "--tag", "v99.0.0"]
    assert main(words) == 2
    assert f"not of this version, {kennel.__version__}" in capsys.readouterr().err
    assert hub.asked == []


def test_the_verb_publishes_what_it_is_given(
    hub: Github,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(kennel, "__version__", "1.2.0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.2.0")
    (tmp_path / "CHANGELOG.md").write_text(LOG, encoding="utf-8")
    assert main(["github", "release", *map(str, files), "--json"]) == 0
    [release] = hub.releases
    assert json.loads(capsys.readouterr().out) == {"release": release["html_url"]}


# names of images


def test_an_image_is_called_in_small_letters_by_the_version_that_its_label_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "output"
    monkeypatch.setenv("GITHUB_REPOSITORY_OWNER", "Anna-Dogs")
    monkeypatch.setenv("GITHUB_OUTPUT", str(told))
    monkeypatch.setattr(kennel, "__version__", "1.2.0")
    assert main(["github", "image", "serve", "--tag", "v1.2.0"]) == 0
    assert told.read_text() == "name=ghcr.io/anna-dogs/kennel-serve\nversion=1.2.0\n"
    assert "ghcr.io/anna-dogs/kennel-serve:1.2.0" in capsys.readouterr().out
    assert main(["github", "image", "serve", "--tag", "v1.3.0"]) == 2


@pytest.mark.parametrize(
    ("owner", "image"), [("", "serve"), ("a/b", "serve"), ("-a", "serve"), ("anna", "../x")]
)
def test_what_is_no_owner_or_no_image_is_refused(owner: str, image: str) -> None:
    with pytest.raises(UsageError):
        image_name(owner, image)
