"""Which formats a bundle can hold, and their files. Standard library only."""

from __future__ import annotations

from kennel.bundle import MODEL_ONNX, Bundle
from kennel.errors import UsageError

FILES: dict[str, tuple[str, ...]] = {
    "onnx": (MODEL_ONNX,),
    "safetensors": ("model.safetensors", "config.json"),
    "torchscript": ("model.pt",),
    "pt2": ("model.pt2",),
    "int8": ("model.int8.onnx",),
}


def formats_named(words: str) -> tuple[str, ...]:
    """ "pt2,safetensors" -> their names in the order of `FILES`; "onnx" is always among them.

    Raises:
        UsageError: a name that is none of them.
    """
    named = {word.strip() for word in words.split(",")}
    strange = sorted(named - set(FILES))
    if strange:
        raise UsageError(
            f"--formats names {', '.join(map(repr, strange))}; there are {', '.join(FILES)}.",
            fix="kennel export RUN --formats onnx,safetensors",
        )
    return tuple(name for name in FILES if name in named | {"onnx"})


def formats_in(bundle: Bundle) -> tuple[str, ...]:
    """The formats that a bundle holds."""
    return tuple(name for name, files in FILES.items() if set(files) <= set(bundle.files))
