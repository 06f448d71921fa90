"""Who made a bundle: signatures by OpenSSF model-signing, with a key pair and no network.

`model.sig` covers every file of the folder but the reports that evaluate writes and what belongs to
git. Since it covers `bundle.json`, and that the sha256 of each file that Kennel reads, a bundle
that is read through `require_signature` is parsed as it was signed, even where somebody
changes the folder meanwhile.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kennel.bundle import BUNDLE_JSON, MODEL_SIG, Bundle, parse_bundle, read_bundle, read_document
from kennel.errors import BundleError, UsageError, need
from kennel.typed import quoted
from kennel.untrusted import MOST_BYTES, opened
from kennel.writing import file_sha256, replacing

PRIVATE_KEY, PUBLIC_KEY = "private.pem", "public.pem"
STATEMENT = "https://model_signing/signature/v1.0"  # the kind that says what it covers
REPORTS = "report"  # names that evaluate writes begin so: report/, report-<dataset>/
OF_GIT = (".git", ".gitattributes", ".github", ".gitignore")  # model-signing passes them by
MOST_SIGNATURE_BYTES = 4 * 2**20
NEW_KEY = "make a key pair and sign with it: kennel sign BUNDLE --new-key keys"


@dataclass(frozen=True)
class _Signature:
    """What a signature says, not yet verified.

    Attributes:
        key: fingerprint of the public key.
        covered: name of each file -> its sha256.
        plain: the same signature without anything that two readers could read differently.
    """

    key: str
    covered: dict[str, str]
    plain: str


def new_key_pair(folder: Path) -> tuple[Path, Path]:
    """Makes an elliptic key pair (P-256), the private half readable by its owner alone.

    Returns:
        paths of the private and of the public key.
    Raises:
        UsageError: one of them is there already.
    """
    private, public = folder / PRIVATE_KEY, folder / PUBLIC_KEY
    for path in (private, public):
        if path.exists():
            raise UsageError(
                f"{path} is there already, and no key is written over.",
                fix=f"sign with it: --key {private}; or name another folder",
            )
    need("model_signing", extra="sign")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    folder.mkdir(parents=True, exist_ok=True)
    secret = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(secret, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    with replacing(public, "wb") as file:
        file.write(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    return private, public


def sign_bundle(path: Path, *, private_key: Path, password: str | None = None) -> Path:
    """Signs a bundle as it is: every file of it is verified first.

    Args:
        private_key: PEM, of P-256, P-384 or P-521.
        password: of the key, where it is encrypted.
    Returns:
        path of the signature; an earlier one is replaced.
    Raises:
        BundleError: the bundle is damaged.
        UsageError: the key cannot be used.
    """
    bundle = read_bundle(path)
    for name in bundle.files:
        bundle.file(name)
    present = _present(path)
    signing = need("model_signing.signing", extra="sign")
    try:
        config = signing.Config().use_elliptic_key_signer(
            private_key=private_key,
            # Handed on as it is to cryptography, which wants bytes (model-signing 1.1.1).
            password=password.encode() if password is not None else None,
        )
    except OSError as error:
        raise UsageError(f"{private_key} cannot be read: {error.strerror}.", fix=NEW_KEY) from error
    except Exception as error:  # cryptography raises a dozen classes, TypeError for no password
        raise UsageError(
            f"{private_key} is no private key that can sign: {error}.",
            fix="an elliptic key in PEM; where it is encrypted, KENNEL_KEY_PASSWORD has its "
            f"password; or {NEW_KEY}",
        ) from error
    with TemporaryDirectory() as scratch:
        written = Path(scratch) / MODEL_SIG
        config.set_hashing_config(_hashing(path)).sign(path.resolve(), written)
        signature = written.read_bytes()
    covered = _read(signature, path).covered
    if set(covered) != present or covered[BUNDLE_JSON] != file_sha256(path / BUNDLE_JSON):
        raise BundleError(f"{path} changed while it was signed.", fix="sign it again")
    with replacing(path / MODEL_SIG, "wb") as file:
        file.write(signature)
    return path / MODEL_SIG


def require_signature(path: Path, *, public_key: Path) -> Bundle:
    """The bundle, if who has the private half of the key signed it as it is.

    Raises:
        BundleError: no signature, one of another key, or a file that was changed, added or removed
            since.
        UsageError: the key cannot be read.
    """
    hint = _fingerprint(public_key)
    signature = _read(_content(path), path)
    if signature.key != hint:
        raise _refusal(path, f"it was signed with another key, {quoted(signature.key)}")
    covered, present = signature.covered, _present(path)
    for names, what in (
        (sorted(present - set(covered)), "was added after it was signed"),
        (sorted(set(covered) - present), "was signed and is gone"),
    ):
        if names:
            raise _refusal(path, f"{quoted(names[0])} {what}")
    verifying = need("model_signing.verifying", extra="sign")
    config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    config.set_hashing_config(_hashing(path))
    with TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        kept = Path(scratch) / MODEL_SIG
        kept.write_text(signature.plain, encoding="utf-8")
        try:
            config.verify(path.resolve(), kept)
        except Exception as error:  # its own, cryptography's, pydantic's
            genuine = str(error).startswith("Signature mismatch")  # so it speaks of the files
            changed = [name for name in sorted(covered) if _differs(path / name, covered[name])]
            raise _refusal(
                path,
                f"{quoted(changed[0])} was changed after it was signed"
                if genuine and changed
                else f"the signature does not hold: {str(error) or type(error).__name__}",
            ) from error
    document = read_document(path)
    if hashlib.sha256(document).hexdigest() != covered.get(BUNDLE_JSON):
        raise _refusal(path, f"{BUNDLE_JSON} is not the one that was signed")
    bundle = parse_bundle(document, path=path)
    for name, entry in bundle.files.items():
        if covered.get(name) != entry.sha256:
            raise _refusal(path, f"{quoted(name)} is not as it was signed")
    return bundle


def _hashing(path: Path) -> Any:
    hashing = need("model_signing.hashing", extra="sign")
    home = path.resolve()
    passed_by = [each for each in sorted(home.iterdir()) if _passed_by(each.name)]
    return hashing.Config().set_ignored_paths(paths=[home / MODEL_SIG, *passed_by])


def _passed_by(name: str) -> bool:
    """Whether a signature leaves out what has that name in the bundle's folder."""
    own = name in (REPORTS, MODEL_SIG) or name.startswith(f"{REPORTS}-")
    return own or name in OF_GIT


def _present(path: Path) -> set[str]:
    """Names of the files that a signature covers, relative to the folder.

    Raises:
        BundleError: there is a link or something else among them, or more bytes than allowed.
    """
    names, total = set(), 0
    for name in _walk(path, ""):
        with opened(path, name, fix="copy the bundle again") as file:
            total += os.fstat(file.fileno()).st_size
        if total > MOST_BYTES:
            raise BundleError(
                f"{path} has more than {MOST_BYTES} bytes of files.",
                fix="take out what is no part of the bundle",
            )
        names.add(name)
    return names


def _walk(path: Path, below: str) -> Iterator[str]:
    for entry in sorted(os.scandir(path / below), key=lambda entry: entry.name):
        name = f"{below}{entry.name}"
        if not below and _passed_by(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, f"{name}/")
        else:
            yield name


def _content(path: Path) -> bytes:
    if not (path / MODEL_SIG).is_symlink() and not (path / MODEL_SIG).exists():
        read_document(path)  # is it a bundle at all?
        raise BundleError(
            f"{path} is not signed: it has no {MODEL_SIG}.",
            fix=f"ask who made it; one of your own: kennel sign {path} --key private.pem",
        )
    with opened(path, MODEL_SIG, fix="copy the bundle again") as file:
        content = file.read(MOST_SIGNATURE_BYTES + 1)
    if len(content) > MOST_SIGNATURE_BYTES:
        raise _refusal(path, f"{MODEL_SIG} has more than {MOST_SIGNATURE_BYTES} bytes")
    return content


def _read(content: bytes, path: Path) -> _Signature:
    try:
        found = json.loads(content)
        key, envelope = found["verificationMaterial"]["publicKey"]["hint"], found["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
        if statement["predicateType"] != STATEMENT:
            raise ValueError(f"it is a {quoted(statement['predicateType'])}")
        resources = statement["predicate"]["resources"]
        if any(each["algorithm"] != "sha256" for each in resources):
            raise ValueError("it is not of sha256 alone")
        return _Signature(
            key=str(key),
            covered={str(each["name"]): str(each["digest"]) for each in resources},
            plain=json.dumps(
                {
                    "mediaType": found["mediaType"],
                    "verificationMaterial": {"publicKey": {"hint": key}, "tlogEntries": []},
                    "dsseEnvelope": {
                        "payload": envelope["payload"],
                        "payloadType": envelope["payloadType"],
                        "signatures": [{"sig": each["sig"]} for each in envelope["signatures"]],
                    },
                }
            ),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refusal(path, f"{MODEL_SIG} is no signature that can be read: {error}") from error


def _fingerprint(public_key: Path) -> str:
    """sha256 of a public key in PEM, as model-signing names the key in a signature."""
    need("model_signing", extra="sign")
    from cryptography.hazmat.primitives import serialization

    try:
        content = public_key.read_bytes()
        key = serialization.load_pem_public_key(content)
    except OSError as error:
        raise UsageError(
            f"{public_key} cannot be read: {error.strerror}.", fix="name the public key: --key FILE"
        ) from error
    except Exception as error:  # cryptography raises a dozen classes
        secret = b"PRIVATE KEY" in content
        raise UsageError(
            f"{public_key} is {'the private half of' if secret else 'no'} key in PEM"
            f"{'' if secret else f': {error}'}.",
            fix="name the public half; the private one stays with who signs"
            if secret
            else "name the public key that who signed gave you",
        ) from error
    return hashlib.sha256(
        key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).hexdigest()


def _differs(path: Path, sha256: str) -> bool:
    try:
        return file_sha256(path) != sha256
    except OSError:
        return True


def _refusal(path: Path, reason: str) -> BundleError:
    return BundleError(
        f"{path} is refused: {reason}.",
        fix=f"copy it again from who signed it; one of your own: kennel sign {path} --key "
        "private.pem",
    )
