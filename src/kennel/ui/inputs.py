"""Gradio's inputs, taught two things: a file is handed on as it was uploaded, and it is one that
was uploaded.

gr.Image opens, turns and saves a photo again before anybody sees it. Where a request names an
address, Gradio's server goes and fetches it; where it names a file of the machine, see `_uploaded`.
"""

from __future__ import annotations

from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, ListFiles
from gradio.utils import get_upload_folder

from kennel.ui.uploads import Upload


def _photo_as_it_came(_: gr.Image, payload: FileData | None) -> Path | None:
    return None if payload is None else _uploaded(payload.path)


def _files_as_they_came(_: gr.File, payload: ListFiles | FileData | None) -> list[Upload]:
    if payload is None:
        return []
    files = [payload] if isinstance(payload, FileData) else list(payload)
    return [Upload(each.orig_name or Path(each.path).name, _uploaded(each.path)) for each in files]


def _uploaded(place: str | Path) -> Path:
    """A path in a request, where it is that of an uploaded file.

    Gradio looks at it only where the request says besides that it is a file: to who leaves that out
    it would hand on any file of the machine.
    """
    home, path = Path(get_upload_folder()).resolve(), Path(place).resolve()
    if not path.is_relative_to(home):
        raise gr.Error(
            "That is no uploaded file: photos are uploaded, and not fetched from somewhere else.",
            print_exception=False,
        )
    return path


def _only_uploaded(self: Any, place: str | Path | None) -> str | None:
    if place is not None:
        _uploaded(place)
    moved: str | None = gr.Image.move_resource_to_block_cache(self, place)
    return moved


async def _only_uploaded_async(self: Any, place: str | Path | None) -> str | None:
    return _only_uploaded(self, place)


def _like(kind: type, name: str, preprocess: Any) -> Any:
    """A component that is drawn as `kind` is and reads as `preprocess` does."""
    changes = {
        "__module__": __name__,
        "__doc__": f"{kind.__name__}, see the top of this file.",
        "preprocess": preprocess,
        "get_block_name": lambda _: kind.__name__.lower(),
        "move_resource_to_block_cache": _only_uploaded,
        "async_move_resource_to_block_cache": _only_uploaded_async,
    }
    # Past the __new__ of Gradio's own metaclass, which writes a .pyi beside this file.
    return ABCMeta.__new__(type(kind), name, (kind,), changes)


Photo = _like(gr.Image, "Photo", _photo_as_it_came)
Files = _like(gr.File, "Files", _files_as_they_came)
