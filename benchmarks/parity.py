"""The same photos through every format of a bundle and every door, beside the trained network.

    python benchmarks/parity.py runs/first bundles/first

Photos are those of `kennel export`: awkward ones, then validation, then train. Ends with 1 where a
label flips or a probability is further off than allowed.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import numpy as np

from kennel.awkward import awkward_photos
from kennel.bundle import Bundle, ParityPhotos, read_bundle
from kennel.dataset import read_dataset
from kennel.formats import formats_in
from kennel.images import read_photo
from kennel.infer import temperature
from kennel.learn.formats import OPENERS
from kennel.learn.parity import SEED, TOLERANCE, Comparison, compare, parity_files
from kennel.learn.trained import TrainedClassifier, load_model
from kennel.machine import hardware, versions
from kennel.metrics import softmax
from kennel.run import Run, read_run

# N photo files -> probabilities Float64[N, K] in the order of the bundle's labels; nan in a row
# whose photo is of a format that the door does not take.
Door = Callable[[Bundle, Sequence[Path]], np.ndarray]


def by_predict(bundle: Bundle, files: Sequence[Path]) -> np.ndarray:
    """`kennel predict --json`, as a process of its own."""
    words = ["predict", bundle.path, *files, "--json", "--top", str(len(bundle.labels))]
    done = subprocess.run(
        [sys.executable, "-m", "kennel", *map(str, words)], check=True, capture_output=True
    )
    rows = json.loads(done.stdout)
    assert [row["path"] for row in rows] == [str(file) for file in files]
    said = [{top["label"]: top["probability"] for top in row["top"]} for row in rows]
    return np.array([[answer[label] for label in bundle.labels] for answer in said])


def by_ui(bundle: Bundle, files: Sequence[Path]) -> np.ndarray:
    """`kennel ui`, as a process of its own: uploaded and asked as its page does."""
    from gradio_client import Client, handle_file

    words = ["ui", str(bundle.path), "--port", "0", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "kennel", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            client = Client(json.loads(process.stdout.readline())["url"], verbose=False)
            said = [
                client.predict(handle_file(str(file)), len(bundle.labels), api_name="/predict")[0]
                for file in files
            ]
        finally:
            process.terminate()
    answers = [{top["label"]: top["probability"] for top in row["top"]} for row in said]
    return np.array([[answer[label] for label in bundle.labels] for answer in answers])


def by_http(bundle: Bundle, files: Sequence[Path]) -> np.ndarray:
    """`POST /predict` of `kennel serve`: by turns as plain bytes and as a form. A row of nan where
    the server takes no photos of that format (BMP, TIFF).
    """
    command = [sys.executable, "-m", "kennel", "serve", str(bundle.path), "--port", "0", "--json"]
    env = {**os.environ, "KENNEL_SERVE_LOG": "none", "KENNEL_SERVE_BYTES": str(2**26)}
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as server:
        assert server.stdout is not None
        try:
            place = urlsplit(json.loads(server.stdout.readline())["url"])
            for number, file in enumerate(files):
                rows.append(_asked(place.netloc, file, bundle, as_form=number % 2 == 1))
        finally:
            server.terminate()
    return np.array(rows)


def _asked(place: str, file: Path, bundle: Bundle, *, as_form: bool) -> list[float]:
    body, kind = file.read_bytes(), "image/jpeg"
    if as_form:
        kind = "multipart/form-data; boundary=b"
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n'
        body = head + body + b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("POST", f"/predict?top={len(bundle.labels)}", body, {"content-type": kind})
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    connection.close()
    if reply.status == 415 and file.suffix in (".bmp", ".tif"):
        return [math.nan] * len(bundle.labels)
    assert reply.status == 200, (file, answer)
    said = {top["label"]: top["probability"] for top in answer["top"]}
    return [said[label] for label in bundle.labels]


# A new door adds itself here.
DOORS: dict[str, Door] = {"predict": by_predict, "http": by_http, "ui": by_ui}


def table(run: Run, bundle: Bundle) -> tuple[list[Comparison], ParityPhotos]:
    """Every format and door of the bundle beside the run's trained network."""
    dataset = read_dataset(Path(run.dataset_csv))
    trained = TrainedClassifier(load_model(run), run.labels)
    with TemporaryDirectory() as folder:
        awkward = list(awkward_photos(Path(folder)).values())
        seed = bundle.parity_photos.seed if bundle.parity_photos else SEED
        files: list[Path] = []
        formats, photos = compare(
            trained,
            {name: OPENERS[name](bundle) for name in formats_in(bundle)},
            parity_files(dataset, awkward, seed=seed),
            preprocess=run.preprocess,
            temperature=temperature(bundle),
            seed=seed,
            on_photo=files.append,
        )
        ours = [
            softmax(
                trained.outputs(read_photo(file, run.preprocess)[None]).logits / temperature(bundle)
            )[0]
            for file in files
        ]
        doors = [Comparison(name, bundle.labels, TOLERANCE) for name in DOORS]
        for door in doors:
            theirs = DOORS[door.format](bundle, files)
            for file, own, other in zip(files, ours, theirs, strict=True):
                if not np.isnan(other).all():
                    door.add(str(file), own, other)
    return [*formats.values(), *doors], photos


def lines(compared: Sequence[Comparison], photos: ParityPhotos) -> Iterator[str]:
    """The table, for people."""
    yield f"{'format or door':<16}{'photos':>8}{'difference':>12}{'allowed':>10}{'flips':>7}"
    for each in compared:
        yield (
            f"{each.format:<16}{each.photos:>8}{each.max_abs_diff:>12.1e}{each.tolerance:>10.0e}"
            f"{each.label_flips:>7}   {each.worst}"
        )
    yield (
        f"photos: {photos.awkward} awkward, {photos.validation} validation, {photos.train} train; "
        f"seed {photos.seed}"
    )


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    args = parser.parse_args()
    compared, photos = table(read_run(args.run), read_bundle(args.bundle))
    print("\n".join(lines(compared, photos)))
    libraries = ("torch", "timm", "onnxruntime", "pillow")
    print(", ".join(f"{k} {v}" for k, v in {**hardware(), **versions(libraries)}.items()))
    return 0 if all(each.agrees for each in compared) else 1


if __name__ == "__main__":
    sys.exit(main())
