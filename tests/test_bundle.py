"""The contract between training and serving: what is written is what is read, or it is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import tiny_bundle

from kennel import infer
from kennel.bundle import (
    BUNDLE_JSON,
    MODEL_ONNX,
    SCHEMA_VERSION,
    Bundle,
    SplitFigures,
    read_bundle,
    replacing,
    write_bundle,
    write_json,
)
from kennel.errors import BundleError

FIGURES = SplitFigures(
    n=30,
    top1=0.9,
    top1_interval=(0.744, 0.965),
    macro_f1=0.89,
    macro_f1_interval=(0.75, 0.98),
    log_loss=0.31,
    log_loss_interval=(0.2, 0.44),
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny", metrics={"validation": FIGURES})


def changed(bundle: Bundle, *path: str | int, to: Any) -> None:
    """Sets one value of bundle.json, as a person with an editor would."""
    document = json.loads((bundle.path / BUNDLE_JSON).read_text(encoding="utf-8"))
    node = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    (bundle.path / BUNDLE_JSON).write_text(json.dumps(document), encoding="utf-8")


def message_of(bundle: Bundle) -> str:
    with pytest.raises(BundleError) as refused:
        read_bundle(bundle.path)
    assert refused.value.fix
    return refused.value.message


def test_what_was_written_is_what_is_read(bundle: Bundle) -> None:
    found = read_bundle(bundle.path)
    assert found == bundle
    assert found.path == bundle.path
    assert found.file(MODEL_ONNX).read_bytes() == (bundle.path / MODEL_ONNX).read_bytes()


def test_a_bundle_without_calibration_rejection_or_commit_is_read_as_such(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bare", calibration=None, rejection=None)
    bundle = replace(bundle, lineage=replace(bundle.lineage, git_commit=None, dirty=None))
    write_bundle(bundle)
    found = read_bundle(bundle.path)
    assert (found.calibration, found.rejection, found.lineage.git_commit) == (None, None, None)
    assert found == bundle


def test_labels_of_any_alphabet_survive(tmp_path: Path) -> None:
    labels = ("Käfer", "柴犬", "a, b\nc")
    assert read_bundle(tiny_bundle(tmp_path / "tiny", labels=labels).path).labels == labels


def test_a_bundle_can_be_moved(bundle: Bundle, tmp_path: Path) -> None:
    moved = shutil.move(bundle.path, tmp_path / "elsewhere")
    assert read_bundle(Path(moved)).file(MODEL_ONNX) == tmp_path / "elsewhere" / MODEL_ONNX


def test_the_document_keeps_no_path_of_the_machine_it_was_written_on(bundle: Bundle) -> None:
    text = (bundle.path / BUNDLE_JSON).read_text(encoding="utf-8")
    assert "path" not in json.loads(text)
    assert str(bundle.path) not in text


def test_a_flipped_byte_anywhere_in_the_document_is_refused(bundle: Bundle) -> None:
    document = bundle.path / BUNDLE_JSON
    sound = document.read_bytes()
    with document.open("r+b", buffering=0) as file:
        for position, byte in enumerate(sound):
            other = byte + 1 if 0x20 < byte < 0x7E else ord("0")
            file.seek(position)
            file.write(bytes([other]))
            with pytest.raises(BundleError):
                read_bundle(bundle.path)
            file.seek(position)
            file.write(bytes([byte]))
    assert read_bundle(bundle.path) == bundle


@pytest.mark.parametrize("byte", [0x00, 0x80, 0xFF])
def test_a_byte_that_is_no_letter_is_refused(bundle: Bundle, byte: int) -> None:
    document = bundle.path / BUNDLE_JSON
    damaged = bytearray(document.read_bytes())
    damaged[damaged.index(b"tiny")] = byte
    document.write_bytes(bytes(damaged))
    assert str(document) in message_of(bundle)


@pytest.mark.parametrize("kept", [0, 1, 100, -2])
def test_a_document_that_was_cut_off_is_refused(bundle: Bundle, kept: int) -> None:
    document = bundle.path / BUNDLE_JSON
    document.write_bytes(document.read_bytes()[:kept])
    assert str(document) in message_of(bundle)


def test_a_document_that_was_written_by_other_means_is_refused(bundle: Bundle) -> None:
    document = bundle.path / BUNDLE_JSON
    document.write_text(json.dumps(json.loads(document.read_text(encoding="utf-8")), indent=7))
    assert "the way it is written" in message_of(bundle)


def test_a_changed_value_of_the_right_kind_is_refused(bundle: Bundle) -> None:
    changed(bundle, "labels", to=["green", "red", "blue"])
    assert "changed after it was exported" in message_of(bundle)


def test_a_changed_model_is_refused_before_it_is_parsed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    class Session:
        def __init__(self, model: bytes, *_: Any, **__: Any) -> None:
            parsed.append(model)
            raise RuntimeError("parsed")

    monkeypatch.setattr(infer.ort, "InferenceSession", Session)
    with pytest.raises(BundleError, match="parsed"):
        infer.OnnxClassifier(bundle)
    model = bundle.path / MODEL_ONNX
    sound = model.read_bytes()
    assert parsed == [sound]  # the sentinel works
    parsed.clear()

    for position in (0, 1, len(sound) // 3, len(sound) // 2, len(sound) - 1):
        damaged = bytearray(sound)
        damaged[position] ^= 1
        model.write_bytes(bytes(damaged))
        with pytest.raises(BundleError, match="not the file that was exported"):
            infer.OnnxClassifier(read_bundle(bundle.path))
    for other in (sound[:-1], sound + b"\0", b""):
        model.write_bytes(other)
        with pytest.raises(BundleError, match="not the file that was exported"):
            infer.OnnxClassifier(read_bundle(bundle.path))
    assert parsed == []


def test_a_missing_model_is_named(bundle: Bundle) -> None:
    (bundle.path / MODEL_ONNX).unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing") as refused:
        read_bundle(bundle.path).file(MODEL_ONNX)
    assert "kennel export runs/tiny" in refused.value.fix


def test_a_format_that_was_not_exported_is_named_with_those_that_were(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"has no model\.pt; it holds model\.onnx"):
        bundle.file("model.pt")


@pytest.mark.parametrize("there", ["nothing", "a folder", "a file"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, there: str) -> None:
    path = tmp_path / "x"
    if there == "a folder":
        path.mkdir()
    elif there == "a file":
        path.write_text("{}")
    with pytest.raises(BundleError, match=r"is not a bundle: it has no bundle\.json"):
        read_bundle(path)


@pytest.mark.parametrize("schema", [SCHEMA_VERSION + 1, 0, "1", None, [1]])
def test_another_schema_is_refused_with_its_number(bundle: Bundle, schema: Any) -> None:
    changed(bundle, "schema_version", to=schema)
    assert f"has schema_version {schema!r}; this kennel reads {SCHEMA_VERSION}" in message_of(
        bundle
    )


@pytest.mark.parametrize("document", ["[]", "1", "null", '"bundle"', "{}"])
def test_json_that_is_no_bundle_is_refused(bundle: Bundle, document: str) -> None:
    (bundle.path / BUNDLE_JSON).write_text(document)
    assert str(bundle.path) in message_of(bundle)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("labels",), "red", "labels is not a list"),
        (("labels", 1), 7, "labels.1 is 7, not str"),
        (("labels",), ["red", "red", "blue"], "labels must be two or more distinct names"),
        (("labels",), ["red"], "labels must be two or more distinct names"),
        (("preprocess",), 5, "preprocess is not an object"),
        (("preprocess", "size"), "224", "preprocess.size is '224', not int"),
        (("preprocess", "size"), True, "preprocess.size is True, not int"),
        (("preprocess", "size"), 0, "size is 0"),
        (("preprocess", "mean"), [0.5, 0.5], "preprocess.mean has 2 values, not 3"),
        (("preprocess", "std", 2), None, "preprocess.std.2 is None, not float"),
        (("preprocess", "resize"), "stretch", "preprocess.resize is 'stretch'; known: 'crop'"),
        (("preprocess", "exif_transpose"), False, "preprocess.exif_transpose is False"),
        (("calibration", "temperature"), "2", "calibration.temperature is '2', not float"),
        (("metrics", "validation", "n"), 1.5, "metrics.validation.n is 1.5, not int"),
        (("metrics",), [], "metrics is not an object"),
        (("parity", 0, "photos"), None, "parity.0.photos is None, not int"),
        (("lineage", "backbone", "licence"), 3, "lineage.backbone.licence is 3, not str"),
        (("files", MODEL_ONNX, "bytes"), "many", "files.model.onnx.bytes is 'many', not int"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_by_its_path(
    bundle: Bundle, path: tuple[str | int, ...], value: Any, said: str
) -> None:
    changed(bundle, *path, to=value)
    assert said in message_of(bundle)


@pytest.mark.parametrize("missing", ["labels", "preprocess", "files", "lineage", "checksum"])
def test_a_missing_part_is_refused(bundle: Bundle, missing: str) -> None:
    document = json.loads((bundle.path / BUNDLE_JSON).read_text(encoding="utf-8"))
    del document[missing]
    write_json(bundle.path / BUNDLE_JSON, document)
    assert missing in message_of(bundle)


@pytest.mark.parametrize("name", ["../model.onnx", "a/../../model.onnx", "/etc/passwd", ".."])
def test_a_bundle_names_no_file_outside_of_itself(bundle: Bundle, name: str) -> None:
    # Written by write_bundle, so that the checksum is right and the name alone is at fault.
    write_bundle(replace(bundle, files={**bundle.files, name: bundle.files[MODEL_ONNX]}))
    assert f"files names {name!r}, which lies outside the bundle" in message_of(bundle)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_a_file_that_could_not_be_written_whole_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, raised: type[BaseException]
) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as file:
            file.write("half of the n")
            file.flush()
            raise raised

    with pytest.raises(raised):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_document_that_json_cannot_hold_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_json(path, {"figure": 0.5})
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"figure": float("nan")})
    assert json.loads(path.read_text()) == {"figure": 0.5}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_take_its_name_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(OSError, match="taken"), replacing(path) as file:
        file.write("new")
    assert list(tmp_path.iterdir()) == [path]
    assert list(path.iterdir()) == []


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "kept.txt"
    with replacing(path) as file:
        file.write("new")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "new"
    with replacing(path, "wb") as file:
        file.write(b"newer")
        file.flush()
        assert path.read_text() == "new"
    assert path.read_bytes() == b"newer"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions are a matter of POSIX")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_get_the_permissions_that_the_user_gives_to_new_ones(
    tmp_path: Path, mask: int, mode: int
) -> None:
    path = tmp_path / "file.txt"
    with umask(mask):
        with replacing(path) as file:
            file.write("words")
        assert os.umask(mask) == mask  # and leaves the setting as it was
    assert path.stat().st_mode & 0o777 == mode
