"""Photos read for a classifier, and how each of them looked. NumPy, Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kennel.bundle import Preprocess
from kennel.images import fit, full_size, normalise, open_photo, working_short_side
from kennel.impression import Look, look


class Looking:
    """Reads photos as `kennel.images.read_photo` does, each file once. `read` may be called in
    several threads; what it saw waits for `took`.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        self._preprocess = preprocess
        self._looks: dict[Path, Look] = {}

    def read(self, path: Path) -> npt.NDArray[np.float32]:
        """A photo as the model's input, Float32[3, H, W].

        Raises:
            PhotoError: as by `kennel.images.read_photo`.
        """
        preprocess = self._preprocess
        image = open_photo(path, at_least=working_short_side(preprocess), fill=preprocess.fill)
        width, height = full_size(image)
        pixels = fit(image, preprocess)
        self._looks[path] = look(width=width, height=height, pixels=pixels)
        return normalise(pixels, preprocess)

    def took(self, path: Path) -> Look:
        """How a photo that was read looked; asked once."""
        return self._looks.pop(path)
