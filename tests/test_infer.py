"""Bundle -> logits -> answers, on a model whose answers can be worked out by hand."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bundles import CALIBRATION, LABELS, PREPROCESS, REJECTION, SCALE, SIDE, by_bank, tiny_bundle
from PIL import Image

from kennel.bundle import (
    MODEL_ONNX,
    Bundle,
    Conformal,
    FileEntry,
    file_sha256,
    read_bundle,
    write_bundle,
)
from kennel.errors import BundleError
from kennel.images import read_photo
from kennel.infer import Answer, OnnxClassifier, OnnxFunction, temperature
from kennel.outputs import Outputs


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


def answer(logits: np.ndarray, bundle: Bundle, *, top: int = 3) -> Answer:
    return OnnxClassifier(bundle).answer(Outputs(logits), top=top)


def plain(*colours: tuple[float, float, float]) -> np.ndarray:  # Float32[N, 3, 8, 8]
    """Inputs of one colour each, channels in 0..1."""
    return np.stack(
        [
            np.broadcast_to(np.array(colour, np.float32)[:, None, None], (3, SIDE, SIDE))
            for colour in colours
        ]
    )


def test_logits_are_those_of_the_model(bundle: Bundle) -> None:
    batch = plain((1.0, 0.0, 0.0), (0.25, 0.5, 0.75))
    logits = OnnxClassifier(bundle).outputs(batch).logits
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, SCALE * np.array([[1, 0, 0], [0.25, 0.5, 0.75]]), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 65])
def test_a_photo_has_the_same_logits_in_a_batch_of_any_size(bundle: Bundle, n: int) -> None:
    logits = OnnxClassifier(bundle).outputs(plain(*[(0.1, 0.2, 0.9)] * n)).logits
    assert logits.shape == (n, 3)
    np.testing.assert_allclose(logits, np.tile([0.8, 1.6, 7.2], (n, 1)), rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, None])
def test_the_number_of_threads_changes_no_answer(bundle: Bundle, threads: int | None) -> None:
    logits = OnnxClassifier(bundle, threads=threads).outputs(plain((0.0, 1.0, 0.0))).logits
    np.testing.assert_allclose(logits, [[0, SCALE, 0]], rtol=1e-6)


@pytest.mark.parametrize(("label", "colour"), zip(LABELS, np.eye(3, dtype=int) * 255, strict=True))
def test_the_label_is_the_bundles_at_the_place_of_the_highest_logit(
    bundle: Bundle, tmp_path: Path, label: str, colour: np.ndarray
) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (30, 20), tuple(int(v) for v in colour)).save(path)
    logits = OnnxClassifier(bundle).outputs(read_photo(path, bundle.preprocess)[None]).logits
    assert answer(logits[0], bundle).label == label


def test_labels_are_the_bundles_and_stand_in_no_code(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny", labels=("Poodle", "Beagle", "Akita"))
    classifier = OnnxClassifier(read_bundle(bundle.path))
    assert classifier.labels == ("Poodle", "Beagle", "Akita")
    assert answer(classifier.outputs(plain((0, 1, 0))).logits[0], bundle).label == "Beagle"


def test_probabilities_are_the_softmax_of_logits_over_the_temperature(bundle: Bundle) -> None:
    assert temperature(bundle) == 2.0
    said = answer(np.array([4.0, 2.0, 0.0], np.float32), bundle)
    whole = math.exp(2) + math.exp(1) + math.exp(0)
    assert said.top == (
        ("red", pytest.approx(math.exp(2) / whole)),
        ("green", pytest.approx(math.exp(1) / whole)),
        ("blue", pytest.approx(1 / whole)),
    )
    assert (said.label, said.probability) == said.top[0]


def test_without_calibration_the_logits_are_taken_as_they_are(bundle: Bundle) -> None:
    bare = replace(bundle, calibration=None)
    assert temperature(bare) == 1.0
    said = answer(np.array([1.0, 0.0, 0.0], np.float32), bare)
    assert said.probability == pytest.approx(math.e / (math.e + 2))


@pytest.mark.parametrize(("height", "known"), [(4.9, False), (5.1, True)])
def test_what_lies_under_the_threshold_is_not_known_whatever_the_temperature(
    bundle: Bundle, height: float, known: bool
) -> None:
    # Logits (h, h, h) have energy h + log 3: the threshold of 5 lies at h = 5 - log 3.
    logits = np.full(3, height - math.log(3), np.float32)
    for t in (0.5, 2.0, 10.0):
        heated = replace(bundle, calibration=replace(CALIBRATION, temperature=t))
        assert answer(logits, heated).known is known


def test_a_score_at_the_threshold_is_known(bundle: Bundle) -> None:
    logits = np.zeros(3, np.float32)
    at = replace(bundle, rejection=replace(REJECTION, threshold=math.log(3)))
    assert answer(logits, at).known
    above = replace(bundle, rejection=replace(REJECTION, threshold=math.nextafter(math.log(3), 2)))
    assert not answer(logits, above).known


def test_a_bundle_without_rejection_knows_everything(bundle: Bundle) -> None:
    assert answer(np.full(3, -1e4, np.float32), replace(bundle, rejection=None)).known


def test_a_photo_like_none_of_the_bank_is_not_known_however_sure_the_logits(
    tmp_path: Path,
) -> None:
    # Features are the mean colours themselves; the bank knows pure red, green and blue.
    bundle = tiny_bundle(tmp_path / "bank", rejection=by_bank(threshold=0.95))
    classifier = OnnxClassifier(read_bundle(bundle.path))
    for colour, known in (((1, 0, 0), True), ((0.1, 0, 0), True), ((1, 0.5, 0), False)):
        outputs = classifier.outputs(plain(colour))
        assert outputs.features is not None
        said = classifier.answer(Outputs(outputs.logits[0] * 100, outputs.features[0]))
        assert (said.label, said.known) == ("red", known)


def test_answers_name_the_labels_among_which_the_truth_is(bundle: Bundle) -> None:
    promise = Conformal(coverage=0.9, threshold=0.2, split="validation", n=30)
    sure = replace(bundle, conformal=promise)
    # At temperature 2, logits (8, 6, 0) are probabilities 0.72, 0.27 and 0.01.
    assert answer(np.array([8.0, 6.0, 0.0], np.float32), sure).among == ("red", "green")
    assert answer(np.array([0.0, 0.0, 99.0], np.float32), sure).among == ("blue",)
    flat = replace(sure, conformal=replace(promise, threshold=0.9))
    assert answer(np.array([9.0, 9.1, 9.0], np.float32), flat).among == ("green",)
    assert answer(np.full(3, 9, np.float32), bundle).among is None


def test_what_is_not_known_is_promised_nothing(bundle: Bundle) -> None:
    sure = replace(bundle, conformal=Conformal(0.9, 0.2, split="validation", n=30))
    said = answer(np.zeros(3, np.float32), sure)
    assert (said.known, said.among) == (False, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": 4}, "has 9 bytes; 4 rows of 3 features need 12"),
        ({"file": "other.i8"}, "has no other.i8"),
    ],
)
def test_a_bank_that_is_not_what_bundle_json_says_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    bundle = tiny_bundle(tmp_path / "bank", rejection=by_bank(threshold=0.95))
    assert bundle.rejection is not None
    assert bundle.rejection.bank is not None
    bank = replace(bundle.rejection.bank, **change)
    write_bundle(replace(bundle, rejection=replace(bundle.rejection, bank=bank)))
    with pytest.raises(BundleError, match=re.escape(said)):
        OnnxClassifier(read_bundle(bundle.path))


def test_a_bank_without_features_to_hold_against_it_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bank", rejection=by_bank(threshold=0.95), features=False)
    with pytest.raises(BundleError, match="gives no features, which rejection by knn needs"):
        OnnxClassifier(read_bundle(bundle.path))


def test_what_is_not_known_still_names_the_nearest(bundle: Bundle) -> None:
    said = answer(np.array([0.0, 0.5, 0.1], np.float32), bundle)
    assert (said.known, said.label) == (False, "green")


@pytest.mark.parametrize(("top", "named"), [(1, 1), (2, 2), (3, 3), (4, 3), (1000, 3)])
def test_no_more_labels_are_named_than_there_are(bundle: Bundle, top: int, named: int) -> None:
    said = answer(np.array([0.0, 2.0, 1.0], np.float32), bundle, top=top)
    assert [label for label, _ in said.top] == ["green", "blue", "red"][:named]


def test_of_equal_logits_the_first_label_counts(bundle: Bundle) -> None:
    assert [label for label, _ in answer(np.zeros(3, np.float32), bundle).top] == list(LABELS)


def test_huge_logits_give_probabilities_and_no_overflow(bundle: Bundle) -> None:
    said = answer(np.array([3e38, -3e38, 0.0], np.float32), bundle)
    assert (said.label, said.probability, said.known) == ("red", 1.0, True)
    assert {probability for _, probability in said.top[1:]} == {0.0}


def test_labels_and_preprocessing_can_be_read_from_the_onnx_file(bundle: Bundle) -> None:
    metadata = OnnxFunction(bundle.file(MODEL_ONNX)).metadata
    assert json.loads(metadata["labels"]) == list(LABELS)
    assert json.loads(metadata["preprocess"]) == json.loads(json.dumps(asdict(PREPROCESS)))


def test_a_model_that_onnxruntime_cannot_load_is_named(bundle: Bundle) -> None:
    # With the right checksum: an honest file with an operator that this onnxruntime does not know.
    path = bundle.path / MODEL_ONNX
    model = onnx.load(path)
    model.graph.node[0].op_type = "OfTomorrow"
    path.write_bytes(model.SerializeToString())
    files = {MODEL_ONNX: FileEntry(sha256=file_sha256(path), bytes=path.stat().st_size)}
    write_bundle(replace(bundle, files=files))
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded by onnxruntime") as said:
        OnnxClassifier(read_bundle(bundle.path))
    assert "export" in said.value.fix


def test_answering_leaves_no_trace_of_the_machine_for_telemetry(
    bundle: Bundle, tmp_path: Path
) -> None:
    # onnxruntime 1.32 writes a device id there and reports to its maker unless told not to.
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import sys, numpy as np; from pathlib import Path; from kennel.infer import OnnxFunction;"
        f"OnnxFunction(Path(sys.argv[1]))(np.zeros((1, 3, {SIDE}, {SIDE}), np.float32))"
    )
    env = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
    }
    model = str(bundle.file(MODEL_ONNX))
    subprocess.run([sys.executable, "-c", script, model], env=env, check=True)
    assert list(home.iterdir()) == []
