"""Who made a bundle: a signature holds for what was signed by whom, and for nothing else."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import coloured_photos, tiny_bundle
from hostile_bundles import forge, with_file

from kennel.bundle import BUNDLE_JSON, MODEL_ONNX, MODEL_SIG, Bundle, read_bundle, write_bundle
from kennel.card import CARD, write_card
from kennel.cli import main
from kennel.dataset import read_dataset
from kennel.errors import BundleError, KennelError, UsageError
from kennel.signing import new_key_pair, require_signature, sign_bundle

pytest.importorskip("model_signing")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    new_key_pair(folder)
    return folder


@pytest.fixture
def bundle(tmp_path: Path, keys: Path) -> Bundle:
    """A signed bundle."""
    bundle = tiny_bundle(tmp_path / "tiny")
    sign_bundle(bundle.path, private_key=keys / "private.pem")
    return bundle


def refusal(bundle: Bundle, key: Path) -> str:
    with pytest.raises(BundleError) as refused:
        require_signature(bundle.path, public_key=key)
    assert refused.value.fix
    return refused.value.message


def test_a_signed_bundle_is_read_as_it_was_signed(bundle: Bundle, keys: Path) -> None:
    assert require_signature(bundle.path, public_key=keys / "public.pem") == bundle


def test_a_signed_bundle_can_be_moved(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    moved = Path(shutil.move(bundle.path, tmp_path / "elsewhere"))
    assert require_signature(moved, public_key=keys / "public.pem").labels == bundle.labels


def test_an_unsigned_bundle_is_refused(bundle: Bundle, keys: Path) -> None:
    (bundle.path / MODEL_SIG).unlink()
    assert "is not signed: it has no model.sig" in refusal(bundle, keys / "public.pem")


def test_the_signature_of_another_key_is_refused(
    bundle: Bundle, keys: Path, tmp_path: Path
) -> None:
    _, other = new_key_pair(tmp_path / "others")
    assert "signed with another key" in refusal(bundle, other)


def test_a_signature_that_claims_another_key_is_refused(
    bundle: Bundle, keys: Path, tmp_path: Path
) -> None:
    sign_bundle(bundle.path, private_key=new_key_pair(tmp_path / "others")[0])
    theirs = json.loads((bundle.path / MODEL_SIG).read_text())
    sign_bundle(bundle.path, private_key=keys / "private.pem")
    ours = json.loads((bundle.path / MODEL_SIG).read_text())
    theirs["verificationMaterial"] = ours["verificationMaterial"]
    (bundle.path / MODEL_SIG).write_text(json.dumps(theirs))
    assert "signature does not hold" in refusal(bundle, keys / "public.pem")


def changed_model(path: Path) -> None:
    content = bytearray((path / MODEL_ONNX).read_bytes())
    content[-1] ^= 1
    (path / MODEL_ONNX).write_bytes(content)


def with_sound_checksums(path: Path) -> None:
    changed_model(path)
    with_file(path, MODEL_ONNX, (path / MODEL_ONNX).read_bytes())


def another_statement(path: Path) -> None:
    signature = json.loads((path / MODEL_SIG).read_text())
    statement = json.loads(base64.b64decode(signature["dsseEnvelope"]["payload"]))
    statement["predicate"]["resources"][0]["digest"] = "0" * 64
    signature["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (path / MODEL_SIG).write_text(json.dumps(signature))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_model, "'model.onnx' was changed after it was signed"),
        (with_sound_checksums, "was changed after it was signed"),
        (
            lambda path: forge(path, lambda d: d["labels"].reverse()),
            "'bundle.json' was changed after it was signed",
        ),
        (lambda path: (path / "more.txt").write_text("x"), "'more.txt' was added after"),
        (
            lambda path: with_file(path, "sub/more.txt", b"x"),
            "'sub/more.txt' was added after it was signed",
        ),
        (lambda path: (path / MODEL_ONNX).unlink(), "'model.onnx' was signed and is gone"),
        (lambda path: os.mkfifo(path / "pipe"), "is a pipe"),
        (lambda path: (path / "link").symlink_to("/etc"), "symbolic link"),
        (lambda path: (path / MODEL_SIG).write_text("{}"), "no signature that can be read"),
        (lambda path: (path / MODEL_SIG).write_bytes(b"\x80\x04."), "no signature that can be"),
        (lambda path: (path / MODEL_SIG).write_text("[" * 10**5), "no signature that can be"),
        (another_statement, "signature does not hold"),
    ],
)
def test_what_was_changed_since_is_refused(
    bundle: Bundle, keys: Path, change: Callable[[Path], object], said: str
) -> None:
    change(bundle.path)
    assert said in refusal(bundle, keys / "public.pem")


def test_reports_and_what_belongs_to_git_are_not_signed(bundle: Bundle, keys: Path) -> None:
    for name in ("report", "report-0a1b2c3d", ".git"):
        (bundle.path / name).mkdir()
        (bundle.path / name / "x.json").write_text("{}")
    (bundle.path / ".gitattributes").write_text("*.onnx filter=lfs")
    require_signature(bundle.path, public_key=keys / "public.pem")
    (bundle.path / "report" / "x.json").write_text("[]")
    sign_bundle(bundle.path, private_key=keys / "private.pem")
    (bundle.path / "report" / "x.json").write_text("{}")
    require_signature(bundle.path, public_key=keys / "public.pem")


def test_a_signature_that_leaves_the_model_out_is_refused(bundle: Bundle, keys: Path) -> None:
    """Made by other means, with the right key."""
    from model_signing import hashing, signing

    left_out = hashing.Config().set_ignored_paths(
        paths=[bundle.path / MODEL_SIG, bundle.path / MODEL_ONNX]
    )
    signer = signing.Config().use_elliptic_key_signer(private_key=keys / "private.pem")
    signer.set_hashing_config(left_out).sign(bundle.path, bundle.path / MODEL_SIG)
    assert "'model.onnx' was added" in refusal(bundle, keys / "public.pem")


def test_a_damaged_bundle_is_not_signed(bundle: Bundle, keys: Path) -> None:
    changed_model(bundle.path)
    with pytest.raises(BundleError, match="not the file that was exported"):
        sign_bundle(bundle.path, private_key=keys / "private.pem")


@pytest.mark.slow
def test_the_signature_is_one_that_other_tools_verify(bundle: Bundle, keys: Path) -> None:
    words = ["verify", "key", str(bundle.path), "--signature", str(bundle.path / MODEL_SIG)]
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", *words, "--public_key", keys / "public.pem"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_private_key_is_for_its_owner_and_never_written_over(keys: Path) -> None:
    assert (keys / "private.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="is there already"):
        new_key_pair(keys)


def test_an_encrypted_key_needs_its_password(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    plain = serialization.load_pem_private_key((keys / "private.pem").read_bytes(), None)
    secret = tmp_path / "secret.pem"
    secret.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open"),
        )
    )
    for password in (None, "wrong"):
        with pytest.raises(UsageError, match="no private key") as refused:
            sign_bundle(bundle.path, private_key=secret, password=password)
        assert "KENNEL_KEY_PASSWORD" in refused.value.fix
    sign_bundle(bundle.path, private_key=secret, password="open")
    require_signature(bundle.path, public_key=keys / "public.pem")


@pytest.mark.parametrize("content", [b"", b"no key", b"\0\xff"])
def test_what_is_no_key_is_refused(
    bundle: Bundle, keys: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(KennelError, match="key"):
        require_signature(bundle.path, public_key=path)
    with pytest.raises(KennelError, match="key"):
        sign_bundle(bundle.path, private_key=path)
    with pytest.raises(UsageError, match="cannot be read"):
        require_signature(bundle.path, public_key=tmp_path / "gone.pem")


def test_the_private_half_does_not_verify(bundle: Bundle, keys: Path) -> None:
    with pytest.raises(UsageError, match="private half"):
        require_signature(bundle.path, public_key=keys / "private.pem")


def test_the_verbs_sign_and_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(Path("tiny"))
    assert main(["verify", "tiny", "--key", "keys/public.pem"]) == 2
    assert main(["sign", "tiny", "--new-key", "keys"]) == 0
    assert "next: kennel verify tiny --key keys/public.pem" in capsys.readouterr().out
    assert main(["verify", "tiny", "--key", "keys/public.pem", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["signed"] is True
    assert set(said["files"]) == {MODEL_ONNX}
    assert main(["show", "tiny"]) == 0
    assert "signature     model.sig, not checked here: kennel verify" in capsys.readouterr().out
    changed_model(Path("tiny"))
    assert main(["verify", "tiny", "--key", "keys/public.pem"]) == 1
    assert "error: tiny is refused: 'model.onnx' was changed" in capsys.readouterr().err


def test_predict_answers_only_for_what_was_signed_where_that_is_required(
    bundle: Bundle, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = coloured_photos(tmp_path / "photos") / "red" / "0.png"
    words = ["predict", str(bundle.path), str(photo)]
    words += ["--require-signature", str(keys / "public.pem")]
    assert main(words) == 0
    assert "red" in capsys.readouterr().out
    forge(bundle.path, lambda document: document["labels"].reverse())
    assert main(words[:3]) == 0  # sound in itself
    assert "blue" in capsys.readouterr().out
    assert main(words) == 1
    assert "was changed after it was signed" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluate_says_that_a_signature_no_longer_holds(
    tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = coloured_photos(tmp_path / "photos", per_label=8)
    assert main(["index", str(photos), "--to", str(tmp_path / "dataset.csv")]) == 0
    dataset = read_dataset(tmp_path / "dataset.csv")
    bundle = tiny_bundle(
        tmp_path / "tiny", dataset_csv=str(dataset.csv), dataset_id=dataset.dataset_id
    )
    write_card(bundle)
    sign_bundle(bundle.path, private_key=keys / "private.pem")
    assert main(["evaluate", str(bundle.path)]) == 0
    assert "its signature no longer holds; sign it again: kennel sign" in capsys.readouterr().err
    assert "was changed" in refusal(bundle, keys / "public.pem")

    sign_bundle(bundle.path, private_key=keys / "private.pem")
    assert main(["evaluate", str(bundle.path)]) == 0  # the same figures: nothing signed changes
    assert "signature" not in capsys.readouterr().err
    assert require_signature(bundle.path, public_key=keys / "public.pem").metrics


def test_a_folder_that_changes_while_it_is_checked_is_read_as_it_was_signed(
    bundle: Bundle, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_signing import verifying

    verify = verifying.Config.verify

    def verify_then_swap(self: verifying.Config, *words: Path) -> None:
        verify(self, *words)
        forge(bundle.path, lambda document: document["labels"].reverse())

    monkeypatch.setattr(verifying.Config, "verify", verify_then_swap)
    assert "bundle.json is not the one that was signed" in refusal(bundle, keys / "public.pem")


def test_a_card_written_anew_voids_a_signature(bundle: Bundle, keys: Path) -> None:
    write_card(bundle)
    write_bundle(replace(read_bundle(bundle.path), calibration=None))
    assert f"'{CARD}' was added" in refusal(bundle, keys / "public.pem")
    assert (bundle.path / BUNDLE_JSON).is_file()
