"""Formats by name: which there are, and which a bundle holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import entry, tiny_bundle

from kennel.bundle import MODEL_ONNX, read_bundle, write_bundle
from kennel.cli import main
from kennel.errors import UsageError
from kennel.formats import FILES, formats_in, formats_named


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("onnx", ("onnx",)),
        ("pt2", ("onnx", "pt2")),
        ("int8, safetensors,int8", ("onnx", "safetensors", "int8")),
        (",".join(reversed(FILES)), tuple(FILES)),
    ],
)
def test_onnx_is_always_among_the_formats(words: str, names: tuple[str, ...]) -> None:
    assert formats_named(words) == names


@pytest.mark.parametrize("words", ["tflite", "onnx,tflite", "", "onnx,", "ONNX", "onnx;pt2"])
def test_a_format_that_is_unknown_is_refused_with_the_list(words: str) -> None:
    with pytest.raises(UsageError, match="onnx, safetensors, torchscript, pt2, int8") as refused:
        formats_named(words)
    assert refused.value.exit_code == 2


def test_it_is_refused_before_anything_else_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path / "no_run"), "--formats", "onnx,tflite"]) == 2
    assert "'tflite'; there are onnx" in capsys.readouterr().err


def test_a_bundle_holds_a_format_when_it_has_all_its_files(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    assert formats_in(bundle) == ("onnx",)
    one = entry(bundle.path / MODEL_ONNX)
    bundle.files["model.safetensors"] = one
    assert formats_in(bundle) == ("onnx",)
    bundle.files["config.json"] = one
    write_bundle(bundle)
    assert formats_in(read_bundle(bundle.path)) == ("onnx", "safetensors")
