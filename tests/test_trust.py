"""What a stranger's bundle can do: be refused, in words, at once, and nothing else."""

from __future__ import annotations

import io
import pickle
import random
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import COLOURS, LABELS, by_bank, entry, mean_colour_onnx, tiny_bundle
from hostile_bundles import CANARY, HOSTILE, PICKLE, forge, with_file
from PIL import Image

from kennel.bundle import BUNDLE_JSON, MODEL_ONNX, Bundle, read_bundle, write_bundle
from kennel.card import CARD, write_card
from kennel.cli import main
from kennel.errors import BundleError
from kennel.infer import OnnxClassifier
from kennel.onnx_file import check_model

AT_ONCE_S = 1.0  # of the processor: others may be at work here
HANGS_S = 60.0


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A sound bundle with a card, in a working directory of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    bundle = tiny_bundle(tmp_path / "here" / "tiny", rejection=by_bank(0.5))
    write_card(bundle)
    files = {**bundle.files, CARD: entry(bundle.path / CARD)}
    write_bundle(replace(bundle, files=files))
    return read_bundle(bundle.path)


@contextmanager
def no_hanging() -> Iterator[None]:
    """Fails where the block waits for something that does not come."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"nothing for {HANGS_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def through_the_door(path: Path) -> OnnxClassifier:
    """Reads all that a bundle lists, and the model as whoever answers photos does."""
    bundle = read_bundle(path)
    for name in bundle.files:
        if name != MODEL_ONNX:
            bundle.read(name)
    return OnnxClassifier(bundle)


def test_the_harm_would_be_seen(bundle: Bundle) -> None:
    through_the_door(bundle.path)
    pickle.loads(PICKLE)
    assert Path(CANARY).exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_at_once_and_in_words(
    bundle: Bundle, name: str, tmp_path: Path
) -> None:
    spoil, word = HOSTILE[name]
    spoil(bundle.path)
    before = sorted(path for path in tmp_path.rglob("*"))
    start_s = time.process_time()
    with no_hanging(), pytest.raises(BundleError) as refused:
        through_the_door(bundle.path)
    assert time.process_time() - start_s < AT_ONCE_S
    assert word in refused.value.message
    assert str(bundle.path) in refused.value.message
    assert len(refused.value.message) < 500
    assert refused.value.fix
    assert sorted(path for path in tmp_path.rglob("*")) == before  # no canary, nothing at all


def test_twenty_hostile_bundles_are_many_more() -> None:
    assert len(HOSTILE) >= 20


@pytest.mark.parametrize("name", ["a link out", "weights in /etc", "a pickle for a model"])
def test_the_front_door_refuses_a_hostile_bundle(
    bundle: Bundle, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    HOSTILE[name][0](bundle.path)
    Image.new("RGB", (9, 9)).save("photo.png")
    assert main(["predict", str(bundle.path), "photo.png"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "\nfix: " in said.err


def test_three_hundred_changes_of_one_byte_are_all_refused(bundle: Bundle) -> None:
    draw = random.Random(20)
    files = [bundle.path / name for name in (BUNDLE_JSON, *sorted(bundle.files))]
    assert len(files) == 4
    for n in range(300):
        file = files[n % len(files)]
        sound = file.read_bytes()
        position = draw.randrange(len(sound))
        other = draw.choice([value for value in range(256) if value != sound[position]])
        file.write_bytes(sound[:position] + bytes([other]) + sound[position + 1 :])
        with pytest.raises(BundleError):
            through_the_door(bundle.path)
        file.write_bytes(sound)
    through_the_door(bundle.path)


def test_what_the_bundle_does_not_name_is_never_read(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("model.pt", "model.pkl", "sitecustomize.py"):
        (bundle.path / name).write_bytes(PICKLE)
    (bundle.path / "link").symlink_to("/etc")
    through_the_door(bundle.path)
    assert not Path(CANARY).exists()
    assert main(["show", str(bundle.path)]) == 0
    shown = capsys.readouterr().out
    assert "not read      link, model.pkl, model.pt, sitecustomize.py: bundle.json does" in shown


def test_formats_for_others_are_never_opened_as_such(bundle: Bundle) -> None:
    """A pickle and a zip bomb that are listed, as TorchScript and pt2 would be."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../canary", b"\0" * 10_000_000)
    with_file(bundle.path, "model.pt", PICKLE)
    with_file(bundle.path, "model.pt2", bomb.getvalue())
    classifier = through_the_door(bundle.path)
    assert classifier.labels == LABELS
    assert not Path(CANARY).exists()
    assert not list(Path.cwd().parent.glob(CANARY))


def test_the_bytes_that_were_verified_are_the_bytes_that_are_parsed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is swapped for another, sound one between its check and its use."""
    read = Bundle.read

    def read_then_swap(self: Bundle, name: str) -> bytes:
        content = read(self, name)
        (self.path / name).write_bytes(b"swapped")
        return content

    monkeypatch.setattr(Bundle, "read", read_then_swap)
    classifier = OnnxClassifier(bundle)
    assert (bundle.path / MODEL_ONNX).read_bytes() == b"swapped"
    red = np.zeros((1, 3, 8, 8), np.float32)
    red[:, 0] = 1
    np.testing.assert_allclose(classifier.outputs(red).logits, [[8, 0, 0]], rtol=1e-6)


def test_a_bundle_reached_through_a_link_of_ones_own_is_read(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "champion").symlink_to(bundle.path, target_is_directory=True)
    through_the_door(tmp_path / "champion")


def test_files_in_folders_of_the_bundle_are_read(bundle: Bundle) -> None:
    with_file(bundle.path, "timm/config.json", b"{}")
    assert read_bundle(bundle.path).read("timm/config.json") == b"{}"
    shutil.rmtree(bundle.path / "timm")
    (bundle.path / "timm").write_bytes(b"a file")
    with pytest.raises(BundleError, match="not a regular file"):
        read_bundle(bundle.path).read("timm/config.json")


def test_a_lone_infinity_is_a_bound_and_no_weight(bundle: Bundle) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(mean_colour_onnx())
    model.graph.initializer.append(numpy_helper.from_array(np.array([-np.inf], "f4"), "low"))
    check_model(model.SerializeToString(), bundle)


def test_typed_halves_that_are_numbers_are_read_as_they_are(bundle: Bundle) -> None:
    import onnx
    from onnx import TensorProto, helper

    values = [0.5, -2.0, 65504.0, 6e-8, 0.0, -0.0]
    model = onnx.load_from_string(mean_colour_onnx())
    for data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
        model.graph.initializer.append(helper.make_tensor(f"h{data_type}", data_type, [6], values))
    check_model(model.SerializeToString(), bundle)


def test_labels_in_another_order_are_a_matter_of_signing(bundle: Bundle) -> None:
    forge(bundle.path, lambda document: document["labels"].reverse())
    # As many labels as outputs: only their maker can say which is which. That is for signatures.
    assert through_the_door(bundle.path).labels == tuple(reversed(tuple(COLOURS)))
