"""A bundle that comes from the Hub: of one commit, within its limits, verified, whole or not.

Whoever may write to the repository may have made it. bundle.json comes first, of a bounded size;
it says which files there are, with size and sha256, and no other is asked for. Nothing of them is
parsed here: bytes are counted and hashed as they come.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.bundle import BUNDLE_JSON, MODEL_SIG, MOST_DOCUMENT_BYTES, Bundle, parse_bundle
from kennel.errors import BundleError, KennelError, need
from kennel.hub.address import Address
from kennel.hub.contents import refuse_pickles
from kennel.hub.refusals import HTTP, in_words
from kennel.project.place import appearing, refuse_taken, write
from kennel.untrusted import check_names

PIECE_BYTES = 1 << 20
MOST_SIGNATURE_BYTES = 1 << 20
TRIES = 3
OTHER = "another revision, or ask who pushed it: kennel hub push sends bundles whole"


@dataclass(frozen=True)
class Pulled:
    """What came. `commit` is the one that it was taken of."""

    bundle: Bundle
    commit: str
    bytes: int


def pull(
    of: Address,
    home: Path,
    *,
    revision: str = "main",
    public_key: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Pulled:
    """Brings a bundle into `home`, under its own id.

    Args:
        revision: branch, tag or commit.
        public_key: PEM; the bundle must be signed by who has the other half.
    Raises:
        KennelError: no such repository or revision, no network, a folder of that name is there.
        BundleError: it is no bundle, holds a pickle, is not what it says, or is not signed so.
        MissingExtraError: huggingface_hub is not installed.
    """
    hub = need("huggingface_hub", extra="ui")
    with _words(of):
        api = hub.HfApi(token=hub.get_token() or False, library_name="kennel")
        commit, there = _look(api, of, revision)
    if BUNDLE_JSON not in there:
        raise BundleError(
            f"{of} at {revision} is not a bundle: it has no {BUNDLE_JSON}.",
            fix="a repository that kennel hub push filled",
        )
    fetch = _Fetch(api, of, commit)
    document = b"".join(fetch.pieces(BUNDLE_JSON, most_bytes=MOST_DOCUMENT_BYTES))
    bundle = parse_bundle(document, path=Path(str(of)))
    folder = home / _plain(bundle)
    _refuse(bundle, of, there)
    refuse_taken(folder)
    with appearing(folder) as place:
        write(place / BUNDLE_JSON, document)
        total = len(document)
        for name, entry in bundle.files.items():
            say(f"brings {name}, {entry.bytes:,} bytes")
            _bring(fetch, name, place / name, bundle)
            total += entry.bytes
        if MODEL_SIG in there:
            signature = b"".join(fetch.pieces(MODEL_SIG, most_bytes=MOST_SIGNATURE_BYTES))
            write(place / MODEL_SIG, signature)
            total += len(signature)
        if public_key is not None:
            from kennel.signing import require_signature

            require_signature(place, public_key=public_key)
    return Pulled(parse_bundle(document, path=folder), commit, total)


def _words(of: Address) -> AbstractContextManager[None]:
    return in_words(of, kept="Nothing of it was kept.", again="the same command again")


def _look(api: Any, of: Address, revision: str) -> tuple[str, Mapping[str, tuple[int, str]]]:
    """The commit that a revision is now, and its files: (bytes, sha256 or "")."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = api.repo_info(
            repo_id=str(of), repo_type=of.kind.type, revision=revision, files_metadata=True
        )
    except RevisionNotFoundError as error:
        raise KennelError(
            f"{of} has no revision {revision!r}.",
            fix=f"a branch, tag or commit of https://huggingface.co/{of.resource}/commits",
        ) from error
    except RepositoryNotFoundError as error:
        raise KennelError(
            f"the Hub has no {of.kind.words} {of} that may be seen from here.",
            fix="see how it is written; for a private one: hf auth login",
        ) from error
    files = {
        each.rfilename: (int(each.size or 0), each.lfs.sha256 if each.lfs else "")
        for each in info.siblings or ()
    }
    return str(info.sha), files


def _plain(bundle: Bundle) -> str:
    """Its id, as the name of a folder."""
    try:
        check_names((bundle.bundle_id,))
    except ValueError as error:
        raise BundleError(f"it calls itself {bundle.bundle_id!r}: {error}.", fix=OTHER) from error
    return bundle.bundle_id


def _refuse(bundle: Bundle, of: Address, there: Mapping[str, tuple[int, str]]) -> None:
    """Refuses, before anything large comes, what could not be whole."""
    refuse_pickles(bundle, fix=OTHER)
    for name, entry in bundle.files.items():
        if name not in there:
            raise BundleError(f"{of} lacks {name}, which its {BUNDLE_JSON} names.", fix=OTHER)
        size, sha256 = there[name]
        if size != entry.bytes or sha256 not in ("", entry.sha256):
            raise BundleError(f"{name} of {of} is not what its {BUNDLE_JSON} says.", fix=OTHER)


def _bring(fetch: _Fetch, name: str, path: Path, bundle: Bundle) -> None:
    entry, digest = bundle.files[name], hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        for piece in fetch.pieces(name, most_bytes=entry.bytes):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != entry.sha256:
        raise BundleError(
            f"{name} came with another sha256 than {BUNDLE_JSON} says; nothing of it was kept.",
            fix=OTHER,
        )


@dataclass(frozen=True)
class _Fetch:
    """Files of one commit, as bytes."""

    api: Any
    of: Address
    commit: str

    def pieces(self, name: str, *, most_bytes: int) -> Iterator[bytes]:
        """A file, piece by piece; where the way breaks off it goes on behind what has come.

        Raises:
            BundleError: it is longer than that.
        """
        came = 0
        for attempt in range(TRIES):
            try:
                with _words(self.of), self._stream(name, came) as answer:
                    for piece in answer.iter_bytes(PIECE_BYTES):
                        came += len(piece)
                        if came > most_bytes:
                            raise BundleError(
                                f"{name} of {self.of} has more than {most_bytes:,} bytes.",
                                fix=OTHER,
                            )
                        yield piece
                return
            except KennelError as error:
                broken = _module(error.__cause__) in HTTP
                if not broken or attempt == TRIES - 1:
                    raise

    @contextmanager
    def _stream(self, name: str, begin: int) -> Iterator[Any]:
        from huggingface_hub import get_session, hf_hub_url

        url = hf_hub_url(
            str(self.of),
            name,
            repo_type=self.of.kind.type,
            revision=self.commit,
            endpoint=self.api.endpoint,
        )
        headers = {"accept-encoding": "identity"}
        if self.api.token:
            headers["authorization"] = f"Bearer {self.api.token}"
        if begin:
            headers["range"] = f"bytes={begin}-"
        # Large files lie elsewhere; the token does not go along to another host.
        with get_session().stream("GET", url, headers=headers, follow_redirects=True) as answer:
            need("huggingface_hub.utils", extra="ui").hf_raise_for_status(answer)
            if begin and answer.status_code != 206:
                raise KennelError(
                    f"{name} broke off, and the Hub does not go on in the middle.",
                    fix="the same command again",
                )
            yield answer


def _module(error: BaseException | None) -> str:
    return type(error).__module__.partition(".")[0]
