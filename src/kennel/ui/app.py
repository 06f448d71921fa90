"""The page: four tabs over one bundle. `build` makes it; `launching` serves it, or a Space does."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Before Gradio is loaded: it would say to its makers that it was started.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr

from kennel.bundle import Bundle
from kennel.errors import KennelError
from kennel.images import PHOTO_SUFFIXES
from kennel.infer import temperature
from kennel.look import in_words
from kennel.machine import usable_cores
from kennel.ui import words
from kennel.ui.answers import Answers, document
from kennel.ui.card import card
from kennel.ui.inputs import Files, Photo
from kennel.ui.several import HEADERS, Row, cells, rows_of, write_csv
from kennel.ui.uploads import MOST_PHOTOS, Upload, photos_of
from kennel.ui.why import why

SWEEP_S, KEPT_S = 300, 1800  # how often uploaded files are looked at, and how long they are kept
MOST_WAITING = 64  # questions
MODEL = "model"  # what all questions share: one at a time for each core
REDRAWN_S = 1.0  # of the table
DETAIL = [("quickly", 7), ("finely", 13)]  # windows along a side


def build(bundle: Bundle, *, examples: Sequence[Path] = ()) -> gr.Blocks:
    """The app of a bundle, not yet served: for `kennel ui`, and for a Space.

    Args:
        bundle: verified as it is opened.
        examples: photos to try; copied.
    Raises:
        BundleError: the bundle cannot be used.
    """
    ask = Answers(bundle)
    about = card(bundle)
    labels = [(in_words(label), label) for label in bundle.labels]
    app: gr.Blocks = gr.Blocks(
        title="Kennel", analytics_enabled=False, delete_cache=(SWEEP_S, KEPT_S)
    )
    with app:
        gr.HTML(words.head(bundle), js_on_load=None)
        with gr.Tabs():
            with gr.Tab("Photo"):
                photo = _one(ask, examples)
            with gr.Tab("Why"):
                _why(ask, photo, labels)
            with gr.Tab("Several"):
                _several(ask)
            with gr.Tab("Model"):
                gr.Markdown(about, latex_delimiters=[], elem_classes="k-card")
    app.queue(max_size=MOST_WAITING, default_concurrency_limit=usable_cores(), api_open=False)
    return app


def _one(ask: Answers, examples: Sequence[Path]) -> gr.Image:
    most = len(ask.bundle.labels)
    with gr.Row():
        with gr.Column():
            photo: gr.Image = Photo(
                label="Your photo", type="filepath", image_mode=None, height=360, buttons=[]
            )
        with gr.Column():
            said = gr.HTML(words.INVITATION, js_on_load=None)
            with gr.Accordion("More", open=False):
                top = gr.Slider(
                    1, most, value=min(3, most), step=1, label="Labels to name", precision=0
                )
                data = gr.JSON(label="The same as data")
    if examples:
        places = [[str(path)] for path in _copied(examples)]
        gr.Examples(places, [photo], label="Photos to try", examples_per_page=len(places))

    def predict(photo: Path | None, top: float) -> tuple[dict[str, Any] | None, str]:
        if photo is None:
            return None, words.INVITATION
        try:
            answer = ask(photo, top=int(top))
        except KennelError as error:
            return {"error": error.message, "bundle": ask.bundle.bundle_id}, words.refusal(error)
        return document(answer, ask.bundle), words.answer(answer, ask.bundle)

    gr.on(
        [photo.change, top.release],
        predict,
        [photo, top],
        [data, said],
        api_name="predict",
        api_description="Answer for one photo: the answer as data, and as the page shows it.",
        trigger_mode="always_last",
        show_progress="minimal",
        concurrency_id=MODEL,
    )
    return photo


def _copied(examples: Sequence[Path]) -> Iterator[Path]:
    """The photos where uploaded ones lie: those and no others are read."""
    home = Path(gr.utils.get_upload_folder()) / "examples"
    for place, path in enumerate(examples):
        folder = home / str(place)
        folder.mkdir(parents=True, exist_ok=True)
        yield Path(shutil.copyfile(path, folder / path.name))


def _why(ask: Answers, photo: gr.Image, labels: list[tuple[str, str]]) -> None:
    bundle = ask.bundle
    gr.HTML(
        words.notice(
            "Parts of the photo of the first tab are hidden one after another, to see which of "
            "them an answer hung on."
        ),
        js_on_load=None,
    )
    with gr.Row():
        label = gr.Dropdown(
            [("the label it answered", ""), *labels],
            value="",
            label="What speaks for",
            min_width=260,
        )
        windows = gr.Radio(DETAIL, value=7, label="Look", min_width=260)
    button = gr.Button("Show why", variant="primary")
    found = gr.HTML(js_on_load=None)

    def explain(
        photo: Path | None,
        label: str | None,
        windows: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio knows that it is wanted
    ) -> str:
        if photo is None:
            return words.notice("There is no photo yet: choose one on the first tab.")
        try:
            asked = label or ask(photo, top=1).answer.label
            reasons = why(
                ask.classifier,
                ask.seen(photo),
                bundle.preprocess,
                label=asked,
                temperature=temperature(bundle),
                windows=windows,
                on_window=lambda done, total: progress((done, total), unit="parts"),
            )
        except KennelError as error:
            return words.refusal(error)
        return words.reasons(reasons, bundle)

    button.click(
        explain,
        [photo, label, windows],
        found,
        api_name="why",
        api_description="Which parts of a photo spoke for a label, as HTML with two pictures.",
        concurrency_id=MODEL,
    )


def _several(ask: Answers) -> None:
    gr.HTML(
        words.notice(
            f"Photos, or zips of photos; at most {MOST_PHOTOS:,} at once. For more there is "
            "kennel predict."
        ),
        js_on_load=None,
    )
    with gr.Row():
        files = Files(
            label="Photos and zips", file_count="multiple", file_types=[*PHOTO_SUFFIXES, ".zip"]
        )
        folder = Files(label="A folder", file_count="directory")
    with gr.Row():
        button = gr.Button("Answer them all", variant="primary")
        stop = gr.Button("Stop", scale=0)
    state = gr.HTML(js_on_load=None)
    table = gr.Dataframe(
        headers=HEADERS,
        datatype="str",
        interactive=False,
        wrap=True,
        column_widths=["26%", "32%", "14%", "28%"],
        label="Answers",
        show_label=False,
        elem_classes="k-table",
    )
    taken = gr.File(label="The table as CSV", interactive=False, visible="hidden")

    def answer_all(
        files: list[Upload], folder: list[Upload]
    ) -> Iterator[tuple[str, list[list[str]], Any]]:
        inside = [each for each in folder if each.name.lower().endswith(PHOTO_SUFFIXES)]
        dropped = photos_of([*files, *inside])
        others = dropped.others + len(folder) - len(inside)
        notes = [*dropped.refused]
        if others:
            notes.append(f"{others} files are not called photos and were passed over.")
        if not dropped.photos:
            notes = notes or ["There is no photo yet: choose some, or a folder, or a zip."]
            yield words.summary(0, 0, 0, 0.0, notes), [], gr.skip()
            return
        started_s = drawn_s = time.monotonic()
        rows: list[Row] = []

        def so_far() -> str:
            unread = sum(row.answer is None for row in rows)
            took_s = time.monotonic() - started_s
            return words.summary(len(rows), len(dropped.photos), unread, took_s, notes)

        try:
            for row in rows_of(ask, dropped.photos):
                rows.append(row)
                if time.monotonic() - drawn_s >= REDRAWN_S:
                    drawn_s = time.monotonic()
                    yield so_far(), [cells(row) for row in rows], gr.skip()
        except KennelError as error:
            raise gr.Error(f"{error.message} What now: {error.fix}.") from error
        yield so_far(), [cells(row) for row in rows], _csv(rows, ask.bundle.bundle_id)

    answering = button.click(
        answer_all,
        [files, folder],
        [state, table, taken],
        api_name="several",
        api_description="Answers for many photos: words, a table, and the table as a CSV file.",
        show_progress="minimal",
        concurrency_id=MODEL,
    )
    stop.click(None, cancels=[answering])


def _csv(rows: Sequence[Row], bundle_id: str) -> Any:
    """The table in Gradio's own folder, from which it is deleted like what was uploaded."""
    folder = Path(tempfile.mkdtemp(dir=gr.utils.get_upload_folder()))
    path = folder / "answers.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(file, rows, bundle_id=bundle_id)
    return gr.update(value=str(path), visible=True)
