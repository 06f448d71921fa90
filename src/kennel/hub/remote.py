"""A repository on the Hub: looked at, compared, changed in one commit. Knows huggingface_hub.

Nothing of it changes before its commit: large files are sent first and are nobody's until a
commit names them. The commit names the one before it, so that what somebody else sent meanwhile is
not lost: the Hub refuses it then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kennel.errors import KennelError, need
from kennel.hub.address import Address
from kennel.hub.contents import OF_THE_HUB, Contents
from kennel.hub.manifest import Known, git_name, read_manifest
from kennel.hub.refusals import LOGIN, in_words
from kennel.hub.space_file import SpaceFile

FIRST_PAGE = "README.md"
BORN = b"https://huggingface.co/docs/hub/spaces-config-reference"  # in the page the Hub begins with
SHOWN = 8  # files that are named
MOST_MANIFEST_BYTES = 4 << 20


@dataclass(frozen=True)
class There:
    """A repository as it is on the Hub. `files` are by path: (sha256 or "", git's name of it)."""

    commit: str
    private: bool
    sdk: str | None
    files: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Pushed:
    """What became of it. `commit` is its newest; `sent` and `removed` are paths."""

    url: str
    commit: str
    private: bool
    created: bool
    sent: tuple[str, ...]
    removed: tuple[str, ...]


def push(
    found: Contents,
    to: Address,
    *,
    private: bool | None,
    replace: bool,
    say: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Makes the repository what `found` is: made where there is none, else changed, in one commit.

    Args:
        private: for its owner alone; None leaves one that is there as it is; a new one is.
        replace: also where it holds what Kennel did not write, which then goes.
        say: is told of each step.
    Raises:
        KennelError: no token, no right, no network, other content, or somebody was faster.
        MissingExtraError: huggingface_hub is not installed.
    """
    # The protocol of large files that is tried in the tests; HF_HUB_DISABLE_XET=0 takes the other.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    hub = need("huggingface_hub", extra="ui")
    need("huggingface_hub.utils", extra="ui").disable_progress_bars()
    with in_words(to):
        api = hub.HfApi(token=_token(hub, to), library_name="kennel")
        there = _look(api, to)
        created = there is None
        if there is None:
            there = _create(api, to, private=private is not False, say=say)
        elif not replace:
            _refuse_other(api, to, there)
        if private and not there.private:  # first: what is not to be seen is not shown meanwhile
            _show(api, to, private=True, say=say)
        pushed = _commit(hub, api, found, to, there, created=created, say=say)
        if private is False and there.private:
            _show(api, to, private=False, say=say)
    stays = there.private if private is None or created else private
    return Pushed(f"{api.endpoint}/{to.resource}", pushed[0], stays, created, pushed[1], pushed[2])


def _token(hub: Any, to: Address) -> str:
    """A token: by trusted publishing where HF_OIDC_RESOURCE says for what, else HF_TOKEN, else that
    of `hf auth login`. It is never a word of the command, where others see it.

    Source: https://huggingface.co/docs/hub/trusted-publishers
    """
    resource = os.environ.get("HF_OIDC_RESOURCE")
    if resource and resource != to.resource:
        raise KennelError(
            f"HF_OIDC_RESOURCE is {resource}, and a token for that does not reach {to.resource}.",
            fix=f"HF_OIDC_RESOURCE={to.resource}",
        )
    token: str | None = hub.get_token()
    if not token:
        raise KennelError("there is no token for the Hub.", fix=LOGIN)
    return token


def _look(api: Any, to: Address) -> There | None:
    """The repository as it is; None where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.repo_info(repo_id=str(to), repo_type=to.kind.type, files_metadata=True)
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404:
            raise
        return None
    files = {
        each.rfilename: (each.lfs.sha256 if each.lfs else "", each.blob_id or "")
        for each in info.siblings or ()
    }
    return There(info.sha, bool(info.private), getattr(info, "sdk", None), files)


def _create(api: Any, to: Address, *, private: bool, say: Callable[[str], None]) -> There:
    from huggingface_hub.errors import HfHubHTTPError

    say(f"makes the {to.kind.words} {to}, {'private' if private else 'public'}")
    try:
        api.create_repo(
            repo_id=str(to), repo_type=to.kind.type, space_sdk=to.kind.sdk, private=private
        )
    except HfHubHTTPError as error:
        if error.response.status_code == 409:
            raise KennelError(
                f"the name {to} is taken, by something that this token may not see.",
                fix="another name, or a token of its owner's",
            ) from error
        raise
    there = _look(api, to)
    if there is None:
        raise KennelError(f"the Hub made {to} and does not find it.", fix="the same command again")
    return there


def _show(api: Any, to: Address, *, private: bool, say: Callable[[str], None]) -> None:
    """Sets who may see it."""
    from huggingface_hub.errors import HfHubHTTPError

    said = "private" if private else "public"
    say(f"makes {to} {said}")
    try:
        api.update_repo_settings(repo_id=str(to), repo_type=to.kind.type, private=private)
    except HfHubHTTPError as error:
        if error.response.status_code != 403:
            raise
        raise KennelError(
            f"this token may not change who sees {to}; one of trusted publishing never may.",
            fix=f"make it {said} on https://huggingface.co/{to.resource}/settings",
        ) from error


def _refuse_other(api: Any, to: Address, there: There) -> None:
    """Refuses a repository that holds what Kennel did not write, or what was changed since."""
    instead = f"another name; or --replace, which makes {to} what this bundle is: its history stays"
    if there.sdk not in (None, to.kind.sdk):
        raise KennelError(
            f"{to} is there, and made with {there.sdk}, not {to.kind.sdk}.", fix=instead
        )
    known = _manifest(api, to, there)
    other = [
        path
        for path, found in sorted(there.files.items())
        if path not in (OF_THE_HUB, to.kind.manifest) and not _is(found, known.get(path))
    ]
    if other == [FIRST_PAGE] and not known and BORN in _read(api, to, there, FIRST_PAGE):
        return  # as the Hub makes it: nobody wrote to it yet
    if other:
        more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        raise KennelError(
            f"{to} is there with files that {to.kind.verb} did not write, or that were changed "
            f"since: {', '.join(map(repr, other[:SHOWN]))}{more}. Nothing was sent.",
            fix=instead,
        )


def _is(found: tuple[str, str], known: Known | None) -> bool:
    """Whether a file on the Hub has a content; a large one goes by sha256, others by git's name."""
    sha256, git = found
    return known is not None and (sha256 == known.sha256 if sha256 else git == known.git)


def _manifest(api: Any, to: Address, there: There) -> dict[str, Known]:
    if to.kind.manifest not in there.files:
        return {}
    return read_manifest(_read(api, to, there, to.kind.manifest))


def _read(api: Any, to: Address, there: There, path: str) -> bytes:
    """A small file of it, of the commit that was looked at."""
    from huggingface_hub import get_session, hf_hub_url

    url = hf_hub_url(
        str(to), path, repo_type=to.kind.type, revision=there.commit, endpoint=api.endpoint
    )
    headers = {"authorization": f"Bearer {api.token}"}
    answer = get_session().get(url, headers=headers, follow_redirects=False)
    need("huggingface_hub.utils", extra="ui").hf_raise_for_status(answer)
    content: bytes = answer.content
    return content[:MOST_MANIFEST_BYTES]


def _commit(
    hub: Any,
    api: Any,
    found: Contents,
    to: Address,
    there: There,
    *,
    created: bool,
    say: Callable[[str], None],
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """One commit with all that differs; none where nothing does."""
    wanted = {file.path: file for file in found.files}
    sent = [file for file in found.files if not _is_there(file, there)]
    removed = sorted(set(there.files) - set(wanted) - {OF_THE_HUB})
    if not sent and not removed:
        say(f"{to} is as it should be already")
        return there.commit, (), ()
    say(f"sends {len(sent)} files, {sum(file.size for file in sent):,} bytes, to {to}")
    operations = [
        *(hub.CommitOperationAdd(file.path, file.content) for file in sent),
        *(hub.CommitOperationDelete(path, is_folder=False) for path in removed),
    ]
    try:
        done = api.create_commit(
            repo_id=str(to),
            repo_type=to.kind.type,
            operations=operations,
            commit_message=f"{found.bundle_id}, by {to.kind.verb}",
            parent_commit=there.commit,
        )
    except Exception:
        if created:
            say(f"{to} was made and is empty; the same command fills it")
        raise
    return done.oid, tuple(file.path for file in sent), tuple(removed)


def _is_there(file: SpaceFile, there: There) -> bool:
    if file.path not in there.files:
        return False
    sha256, git = there.files[file.path]
    return sha256 == file.sha256 if sha256 else git == git_name(file.read())
