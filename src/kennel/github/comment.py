"""One comment under a pull request, written again when there is something new to say.

What it says was made by the pull request's own code, so nothing in it is believed: it is text,
tables and folded parts, with no link, picture, mention or reference of its own.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kennel.errors import UsageError
from kennel.github import Api, GithubError
from kennel.typed import quoted

MARKER = "<!-- kennel-report -->"  # as `kennel report --markdown` begins
AUTHOR = "github-actions[bot]"  # whom GITHUB_TOKEN writes as
MOST_BYTES = 60_000  # GitHub takes 65,536 characters
NO_TAG = re.compile(
    r"<(?!/?(?:details|summary|sub|sup|code|br)>)"
)  # those fold or set apart, and do no more
JOINER = "\N{WORD JOINER}"  # not seen, and ends what GitHub would take for a link
SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Checked:
    """Whose commit a workflow checked, as GitHub itself says and no artifact.

    Attributes:
        owner, branch: of the head, which may be a fork's.
        sha: the commit.
    """

    owner: str
    branch: str
    sha: str


def checked_by(event: Any) -> Checked:
    """What the event of a `workflow_run` says of the run that ended.

    Raises:
        UsageError: it is no such event.
    """
    try:
        run = event["workflow_run"]
        found = Checked(
            run["head_repository"]["owner"]["login"], run["head_branch"], run["head_sha"]
        )
        if not all(isinstance(each, str) for each in (found.owner, found.branch)):
            raise TypeError
        if not SHA.fullmatch(found.sha):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "the event says of no workflow run which commit it checked.",
            fix="run it in a workflow of `on: workflow_run`, or name the pull request: --pull 12",
        ) from error
    return found


def pull_of(api: Api, checked: Checked) -> int | None:
    """Number of the open pull request whose newest commit that is; None where there is none, or a
    newer one was pushed since.
    """
    head = quote(f"{checked.owner}:{checked.branch}", safe="")
    for pull in api.every(f"/pulls?state=open&head={head}"):
        if pull["head"]["sha"] == checked.sha:
            return int(pull["number"])
    return None


def put_comment(api: Api, pull: int, text: str, *, author: str = AUTHOR) -> str:
    """Writes the comment, or writes it again where it stands. Further ones of the same kind go.

    Args:
        text: as a stranger may have written it.
        author: who wrote the earlier one; a comment of anybody else's is never touched.
    Returns:
        address of the comment.
    """
    body = {"body": f"{MARKER}\n{tamed(text)}"}
    own = [
        each["id"]
        for each in api.every(f"/issues/{pull}/comments")
        if str(each.get("body", "")).startswith(MARKER) and _author(each) == author
    ]
    if not own:
        answer = api.of_repository("POST", f"/issues/{pull}/comments", body)
    else:
        answer = api.of_repository("PATCH", f"/issues/comments/{own[0]}", body)
        for further in own[1:]:
            api.of_repository("DELETE", f"/issues/comments/{further}")
    if not isinstance(answer, dict) or "html_url" not in answer:
        raise GithubError("GitHub says not where the comment is.", fix="see GITHUB_API_URL")
    return str(answer["html_url"])


def tamed(text: str) -> str:
    """The same to read, and nothing else: no link, picture, mention, reference, or HTML but what
    folds a part away.

    Raises:
        UsageError: it is empty, or too long.
    """
    if not text.strip():
        raise UsageError("there is nothing to say: the file is empty.", fix="see what wrote it")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise UsageError(
            f"the text has {size} bytes, and a comment takes {MOST_BYTES}.",
            fix="say less: fewer labels, or the page as an artifact",
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix(f"{MARKER}\n")
    text = "".join(letter for letter in text if letter in "\n\t" or _seen(letter))
    # GitHub looks for mentions in what it has drawn, where &#64; is an @ already.
    text = re.sub(r"&(?=#?\w{1,40};)", "&amp;", text)
    text = NO_TAG.sub("&lt;", text)
    text = re.sub(r"^(\s*(?:`{3,}|~{3,}))[^`\n]+$", r"\1", text, flags=re.MULTILINE)  # no maps
    # In Markdown a link is [..](..), [..][..] or [..] with a definition [..]: elsewhere.
    text = re.sub(r"\](?=[(\[:])", f"]{JOINER}", text)
    # And without brackets: addresses, mentions, numbers of issues, owner/name#1, GH-1.
    text = re.sub(r"://", f":{JOINER}//", text)
    text = re.sub(r"(?i)\b(www|mailto|xmpp)(?=[.:])", rf"\1{JOINER}", text)
    text = re.sub(r"(?i)\bGH-(?=\d)", f"GH{JOINER}-", text)
    text = re.sub(r"@(?=\w)", f"@{JOINER}", text)
    return re.sub(r"#(?=\d)", f"#{JOINER}", text)


def _seen(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _author(comment: Any) -> str:
    user = comment.get("user")
    return str(user.get("login")) if isinstance(user, dict) else quoted(user)
