"""A photo as the model's input, wherever it lies: in a file, or in a bucket.

H x W pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kennel.bucket import address_of, is_address, read_object
from kennel.bundle import Preprocess
from kennel.errors import PhotoError
from kennel.images import read_photo

_UNNAMED = "the photo "  # how the words about bytes begin


def read_named(name: str, preprocess: Preprocess) -> NDArray[np.float32]:
    """`kennel.images.read_photo` of what is named by a path or an s3:// address.

    Returns: Float32[3, H, W].
    Raises:
        PhotoError: it cannot be read, or is refused; the message names it.
        BucketError: the bucket cannot be reached, or refuses.
    """
    if not is_address(name):
        return read_photo(Path(name), preprocess)
    content = read_object(address_of(name))
    try:
        return read_photo(content, preprocess)
    except PhotoError as error:
        words = error.message.removeprefix(_UNNAMED)
        raise PhotoError(f"{name} {words}", fix=error.fix) from error
