"""One comment, updated, of which a stranger's text can make nothing but something to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from github_server import BOT, REPOSITORY, WORKFLOW, Github, github_server

from kennel.cli import main
from kennel.errors import UsageError
from kennel.github import Api, GithubError
from kennel.github.comment import MARKER, MOST_BYTES, checked_by, put_comment, tamed

SHA = "ab" * 20
FIGURES = """\
## Figures

| | this | main |
|---|---:|---:|
| top1 | 0.976 [0.949, 0.989] | 0.968 [0.938, 0.984] |

<details><summary>Confusion</summary>

`a & b` <sub>n 251</sub> <code>ab12</code>

</details>
"""


@pytest.fixture
def hub() -> Iterator[Github]:
    with github_server() as server:
        yield server


@pytest.fixture
def api(hub: Github) -> Api:
    return Api(REPOSITORY, token=WORKFLOW, address=hub.address)


@pytest.fixture
def workflow(hub: Github, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow's environment, after the check of commit SHA of a fork's branch `better`."""
    run = {
        "head_sha": SHA,
        "head_branch": "better",
        "head_repository": {"owner": {"login": "stranger"}},
        "pull_requests": [],  # as it is for forks
    }
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": run}), encoding="utf-8")
    for name, value in {
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_API_URL": hub.address,
        "GITHUB_TOKEN": WORKFLOW,
    }.items():
        monkeypatch.setenv(name, value)
    text = tmp_path / "figures.md"
    text.write_text(FIGURES, encoding="utf-8")
    return text


def pull(number: int, *, sha: str = SHA, label: str = "stranger:better") -> dict[str, Any]:
    return {"number": number, "state": "open", "label": label, "head": {"sha": sha}}


# one comment


def test_a_second_push_writes_the_same_comment_again(hub: Github, workflow: Path) -> None:
    hub.pulls.append(pull(12))
    for said in ("first", "second"):
        workflow.write_text(said, encoding="utf-8")
        assert main(["github", "comment", str(workflow)]) == 0
    [comment] = hub.comments
    assert comment["issue"] == 12
    assert comment["body"] == f"{MARKER}\nsecond"


def test_the_comment_is_found_behind_a_hundred_others(hub: Github, api: Api) -> None:
    put_comment(api, 12, "first")
    own = hub.comments.pop()
    hub.comments += [
        {"id": n, "issue": 12, "body": "hello", "user": {"login": "a"}} for n in range(1000, 1150)
    ]
    hub.comments.append(own)
    put_comment(api, 12, "second")
    assert own["body"].endswith("second")
    assert len(hub.comments) == 151


def test_a_comment_of_somebody_else_is_never_touched(hub: Github, api: Api) -> None:
    planted = {"id": 1, "issue": 12, "body": f"{MARKER}\nmine", "user": {"login": "stranger"}}
    hub.comments.append(dict(planted))
    put_comment(api, 12, "figures")
    assert hub.comments[0] == planted
    assert hub.comments[1]["user"]["login"] == BOT


def test_of_two_comments_that_raced_one_stays(hub: Github, api: Api) -> None:
    for number in (1, 2):
        hub.comments.append({"id": number, "issue": 12, "body": MARKER, "user": {"login": BOT}})
        hub.comments[-1]["html_url"] = f"{hub.address}/{number}"
    put_comment(api, 12, "figures")
    [comment] = hub.comments
    assert comment["id"] == 1


# under the right pull request


@pytest.mark.parametrize(
    "others",
    [
        [],
        [pull(12, sha="cd" * 20)],  # a newer commit was pushed since
        [pull(12, label="other:better")],  # another fork's branch of the same name
        [{**pull(12), "state": "closed"}],
    ],
)
def test_figures_of_no_open_newest_commit_are_not_said(
    others: list[dict[str, Any]],
    hub: Github,
    workflow: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.pulls += others
    assert main(["github", "comment", str(workflow)]) == 0
    assert "nothing said" in capsys.readouterr().out
    assert hub.comments == []


def test_the_pull_request_is_githubs_word_and_not_the_texts(hub: Github, workflow: Path) -> None:
    hub.pulls += [pull(1, label="somebody:main"), pull(12)]
    workflow.write_text("pull: 1\nnumber=1", encoding="utf-8")
    assert main(["github", "comment", str(workflow)]) == 0
    assert [each["issue"] for each in hub.comments] == [12]


@pytest.mark.parametrize(
    "event", [{}, [], {"workflow_run": {"head_sha": "x"}}, {"pull_request": 1}]
)
def test_an_event_of_another_kind_is_refused_in_words(event: Any) -> None:
    with pytest.raises(UsageError, match="which commit it checked"):
        checked_by(event)


# what a stranger's text can do


def test_figures_read_as_they_were_written() -> None:
    assert tamed(FIGURES) == FIGURES


@pytest.mark.parametrize(
    "attack",
    [
        "[free money](https://evil.example)",
        "[a][b]\n\n[b]: https://evil.example",
        "![](https://evil.example/pixel.png)",
        "https://evil.example",
        "www.evil.example",
        "mailto:a@evil.example",
        "<a href='https://evil.example'>x</a>",
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "<!-- hidden -->",
        "<details open ontoggle=alert(1)>",
        "@maintainer look",
        "&#64;maintainer look",
        "@&#109;aintainer",
        "see #1",
        "see &#35;1",
        "other/repository#1",
        "GH-1",
        "```mermaid\nclick a href\n```",
        "\u202egnp.exe",
        "a\x00b\x1b[31m",
    ],
)
def test_a_strangers_text_links_mentions_and_runs_nothing(attack: str) -> None:
    safe = tamed(attack)
    assert not re.search(r"\]\(|\]\[|\]:", safe)
    assert not re.search(r"\w+://|www\.|mailto:", safe)
    assert not re.search(r"@\w|#\d|GH-\d|&#?\w+;(?<!&lt;)(?<!&amp;)", safe)
    assert not re.search(r"<(?!/?(details|summary|sub|sup|code|br)>)", safe)
    assert not re.search(r"```\w", safe)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", safe)
    assert safe != attack


@pytest.mark.parametrize("attack", ["&lt;", "&amp;#64;x", "&#x40;x", "&commat;x"])
def test_entities_are_shown_and_not_worked_out(attack: str) -> None:
    import html

    assert html.unescape(tamed(attack)).replace("\u2060", "") == attack


def test_the_marker_stands_once_whoever_wrote_it_too(hub: Github, api: Api) -> None:
    put_comment(api, 12, f"{MARKER}\nx\n{MARKER}\n")
    assert hub.comments[0]["body"].startswith(f"{MARKER}\nx\n")
    assert hub.comments[0]["body"].count("<!--") == 1


def test_the_report_s_own_text_is_not_changed_by_what_tames_strangers() -> None:
    from kennel.comment.markup import code, folded, table

    cells = [[code("data.augment=[a, b]"), "0.976 [0.949, 0.989]"], [code("x & y"), "-0.012"]]
    text = folded("Settings", table(["setting", "top1"], cells, right=[1]))
    assert tamed(f"{text}\n<sub>kennel: <code>kennel report --markdown</code></sub>\n") == (
        f"{text}\n<sub>kennel: <code>kennel report --markdown</code></sub>\n"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "nothing to say"),
        (b" \n", "nothing to say"),
        (b"a" * (MOST_BYTES + 1), "a comment takes 60000"),
        ("\u00e9".encode() * MOST_BYTES, "a comment takes 60000"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_a_file_that_is_no_text_for_a_comment_is_refused_in_words(
    content: bytes, says: str, hub: Github, workflow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.pulls.append(pull(12))
    workflow.write_bytes(content)
    assert main(["github", "comment", str(workflow)]) == 2
    assert says in capsys.readouterr().err
    assert hub.comments == []


def test_a_link_out_of_the_artifact_is_not_followed(
    hub: Github, workflow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.pulls.append(pull(12))
    link = tmp_path / "link.md"
    link.symlink_to(workflow)
    assert main(["github", "comment", str(link)]) == 2
    assert "is no file" in capsys.readouterr().err
    assert hub.asked == []


# GitHub refuses


@pytest.mark.parametrize(
    ("status", "says"), [(401, "token"), (403, "permissions"), (404, "name"), (500, "status")]
)
def test_a_refusal_of_github_is_said_with_its_mend(status: int, says: str, hub: Github) -> None:
    hub.refuse[f"GET /repos/{REPOSITORY}/issues/12/comments"] = status
    with pytest.raises(GithubError) as error:
        put_comment(Api(REPOSITORY, token=WORKFLOW, address=hub.address), 12, "x")
    assert str(status) in error.value.message
    assert says in error.value.fix


def test_a_token_follows_no_redirect(hub: Github, api: Api) -> None:
    hub.refuse[f"GET /repos/{REPOSITORY}/issues/12/comments"] = 302
    with pytest.raises(GithubError):
        put_comment(api, 12, "x")
    assert hub.asked == [f"GET /repos/{REPOSITORY}/issues/12/comments"]


def test_nobody_there_is_said_with_its_mend() -> None:
    with pytest.raises(GithubError, match="does not answer"):
        put_comment(Api(REPOSITORY, token="x", address="http://127.0.0.1:9"), 12, "x")


@pytest.mark.parametrize("address", ["http://api.github.com", "ftp://x", "file:///etc/passwd", ""])
def test_a_token_goes_to_no_address_that_anybody_could_read(address: str) -> None:
    with pytest.raises(UsageError, match="no address that a token is sent to"):
        Api(REPOSITORY, token="x", address=address)


@pytest.mark.parametrize("name", ["", "dogs", "a/b/c", "../x", "a b/c", "a/b?x"])
def test_a_repository_has_an_owner_and_a_name(name: str) -> None:
    with pytest.raises(UsageError, match="not the name of a repository"):
        Api(name, token="x")
