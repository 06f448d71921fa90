"""The text for a pull request as GitHub reads it: words of a stranger do nothing, and it fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from bundles import CALIBRATION, tiny_bundle
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from measured_bundles import DOGS, measured_bundle

from kennel.bundle import read_bundle
from kennel.comment import MARKER, MOST_BYTES, comment_on, side_of, text_of
from kennel.comment.markup import code, table, words
from kennel.schema import Backbone, Rejection

GITHUB = 65_536
HOSTILE = (
    "@torvalds",
    "@org/team please look",
    "fixes #1",
    "owner/repo#1",
    "GH-1",
    "https://evil.example/x",
    "www.evil.example",
    "a@b.example",
    "<img src=x onerror=alert(1)>",
    "</details><script>alert(1)</script>",
    "<!-- kennel-report -->",
    "![x](https://evil.example/pixel.png)",
    "[click](javascript:alert(1))",
    "`code` | @torvalds",
    "a | b | c",
    "\\| @torvalds",
    "\\\\| <b>@torvalds</b>",
    "`",
    "``` ",
    "\\",
    "ends with a backslash\\",
    "two\n\n# lines\r\n| --- |\u2028and\x0bmore",
    "**bold** _it_ ~~no~~ $x^2$ :+1:",
    "&commat;torvalds &#64;torvalds",
    "tab\tand nul\x00 and bell\x07",
    "turned \u202earound, none\u200bwidth",
    "0123456789abcdef0123456789abcdef01234567",
    "",
    " ",
    "long " * 100,
    "1. list",
    "> quote",
    "---",
    "[^1]",
)
# What Kennel's own text has of HTML.
OURS = re.compile(
    r"<!-- kennel-report -->|</?details>|</?summary>|</?sub>|</?code>|\n|"
    r"(?<=<summary>)[^<>@#]*(?=</summary>)"
)
ACTS = re.compile(r"@|#\d|GH-\d|https?:|www\.|[0-9a-f]{7,40}\b", re.IGNORECASE)


def tokens(text: str) -> Iterator[Token]:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for block in parser.parse(text):
        yield block
        yield from block.children or ()


def assert_nothing_acts(text: str) -> None:
    cells: list[int] = []
    for token in tokens(text):
        assert token.type not in ("link_open", "image", "s_open", "em_open"), token
        if token.type in ("html_block", "html_inline"):
            assert not OURS.sub("", token.content), token.content
        if token.type == "text":
            assert not ACTS.search(token.content), token.content
        if token.type == "tr_open":
            cells.append(0)
        if token.type in ("th_open", "td_open"):
            cells[-1] += 1
        if token.type == "table_close":
            assert len(set(cells)) == 1, cells
            cells.clear()


def hostile_pair(folder: Path) -> str:
    """A comment on two bundles all of whose words are a stranger's."""
    plain = [word for word in HOSTILE if word.strip()]
    name = "b @torvalds `x` <b> #1 | y"
    backbone = Backbone(plain[0], plain[8], plain[5], plain[13])
    facts = dict(zip(plain, reversed(plain), strict=True))
    for which, n in (("main", 66), ("new", 99)):
        made = measured_bundle(
            folder / which / name,
            labels=plain,
            n=n,
            wrong={0: 1, 2: 3, 30: 4} if which == "new" else {5: 6},
            dataset_id="<i>@x" if which == "new" else "|`d",
            versions=facts,
            measured_with=facts,
            git_commit=plain[13],
            config_sha256=plain[7],
            run_id="<b>#1|",
            backbone=backbone,
            hardware={"gpu": "<img src=x> @torvalds | #1", "cores": "`|"},
            overrides=(*(f"{word}={which} {word}" for word in plain), "a|b=@c"),
        )
        assert made.labels[0] == "@torvalds"
    first, second = (
        side_of(read_bundle(folder / which / name), project=folder) for which in ("main", "new")
    )
    return text_of(comment_on(second, first, price=None, project=folder))


def test_whatever_a_bundle_says_does_nothing_in_a_comment(tmp_path: Path) -> None:
    text = hostile_pair(tmp_path)
    assert text.startswith(f"{MARKER}\n\n### ")
    assert_nothing_acts(text)
    # The marker of another is words: it begins no line.
    assert [line for line in text.splitlines() if line.startswith("<!--")] == [MARKER]
    shown = [token.content for token in tokens(text) if token.type == "code_inline"]
    assert "@torvalds" in shown
    assert "<img src=x onerror=alert(1)>" in shown


@pytest.mark.parametrize("said", HOSTILE)
def test_a_word_is_one_cell_and_shown_as_it_is(said: str) -> None:
    text = table(["a", "b"], [[words(said), code(said)]])
    assert_nothing_acts(text)
    found = [token for token in tokens(text) if token.type == "td_open"]
    assert len(found) == 2
    code_of = [token.content for token in tokens(text) if token.type == "code_inline"]
    one_line = " ".join(said.split())
    if len(one_line) < 60 and one_line.isprintable() and "|" not in one_line and one_line:
        assert code_of[-1] == one_line


@given(st.text(max_size=80))
def test_any_word_at_all_is_one_cell_that_does_nothing(said: str) -> None:
    text = table(["a", "b"], [[words(said), code(said)], [f"{words(said)}, {words(said)}", "x"]])
    assert_nothing_acts(text)
    assert sum(token.type == "td_open" for token in tokens(text)) == 4


@given(st.text(alphabet="\\|`@<> a\n", max_size=30))
def test_backslashes_pipes_and_backticks_do_not_open_a_cell(said: str) -> None:
    text = table(["a", "b"], [[code(said), "end"]])
    assert_nothing_acts(text)
    kinds = [token.content for token in tokens(text) if token.type == "text" and token.content]
    assert "end" in kinds
    assert set(kinds) <= {"a", "b", "end", "(empty)"}


@pytest.mark.parametrize(
    "said",
    ["Beagle", "Golden Retriever", "Dogue de Bordeaux", "Löwchen", "柴犬", "St-Hubert", "d'Or"],
)
def test_plain_words_stand_as_they_are(said: str) -> None:
    assert words(said) == said


def test_what_cannot_be_seen_is_spelled() -> None:
    assert code("a\u202eb\u200b") == "`a\\u202eb\\u200b`"


@pytest.mark.parametrize("labels", [3, 16])
def test_few_labels_have_the_whole_matrix(labels: int, tmp_path: Path) -> None:
    names = [f"{DOGS[0]} {chr(97 + at)}" for at in range(labels)]
    made = measured_bundle(tmp_path / "new", labels=names, n=2 * labels, wrong={0: 1})
    text = text_of(comment_on(side_of(made, project=tmp_path), None, price=None, project=tmp_path))
    assert_nothing_acts(text)
    numbers = " | ".join(str(at + 1) for at in range(labels))
    assert f"| truth | {numbers} | photos |" in text
    assert "| 1 Beagle a | **1** | 1 |" in text
    assert "**Beagle a is taken for Beagle b in 1 of 2.**" in text


def test_many_labels_have_the_most_confused_pairs(tmp_path: Path) -> None:
    names = [f"{DOGS[0]} {chr(97 + at)}" for at in range(20)]
    made = measured_bundle(tmp_path / "new", labels=names, n=60, wrong={0: 1, 20: 1, 2: 3})
    text = text_of(comment_on(side_of(made, project=tmp_path), None, price=None, project=tmp_path))
    assert (
        "| Beagle a | Beagle b | 2 of 3 | 67 % |\n| Beagle c | Beagle d | 1 of 3 | 33 % |" in text
    )


def test_every_text_fits_into_a_comment_of_github(tmp_path: Path) -> None:
    """120 labels whose every word is long and of three bytes a letter."""
    names = [f"犬{'種' * 70}{at}" for at in range(120)]
    overrides = tuple(f"{'鍵' * 60}{at}={'値' * 60}{at}" for at in range(400))
    for which, wrong in (("main", {}), ("new", {at: (at + 1) % 120 for at in range(0, 240, 2)})):
        measured_bundle(
            tmp_path / which,
            labels=names,
            n=240,
            wrong=wrong,
            overrides=overrides if which == "new" else (),
            versions={f"{'本' * 60}{at}": "版" * 60 for at in range(300)},
            measured_with={f"{'本' * 60}{at}": "版" * 60 for at in range(300)},
        )
    first, second = (
        side_of(read_bundle(tmp_path / which), project=tmp_path) for which in ("main", "new")
    )
    text = text_of(comment_on(second, first, price=None, project=tmp_path))
    assert len(text.encode()) <= MOST_BYTES < GITHUB
    assert "360 more settings differ." in text
    assert_nothing_acts(text)


def test_what_has_no_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = measured_bundle(tmp_path / "new", wrong={0: 1})
    comment = comment_on(side_of(made, project=tmp_path), None, price=None, project=tmp_path)
    whole = text_of(comment)
    monkeypatch.setattr("kennel.comment.text.MOST_BYTES", len(whole.encode()) - 1)
    text = text_of(comment)
    assert len(text) < len(whole)
    assert "Left out, as a comment has room for 65,536 characters: other splits." in text
    monkeypatch.setattr("kennel.comment.text.MOST_BYTES", 10)
    assert text_of(comment).startswith(f"{MARKER}\n\n### top1 0.983")


def test_figures_have_a_birth_certificate(tmp_path: Path) -> None:
    made = measured_bundle(tmp_path / "new", dirty=True, git_commit="abcdef0123456789" * 2)
    text = text_of(comment_on(side_of(made, project=tmp_path), None, price=None, project=tmp_path))
    for said in (
        "| commit | `abcdef012345`, with uncommitted changes |",
        "| dataset | `dddddddddddddddd` |",
        "| seed | 0 |",
        "| measured with | `kennel 0.1.0`, `onnxruntime 1.32.0` |",
        "n: test 60, validation 60, train 60",
        "`a processor, 2 cores`",
        "| size, onnx |",
        "| parity, onnx | 1.0e-07 of 1e-04 allowed, 0 other labels, 30 photos |",
        "| temperature | 2.000, fitted on 30 validation photos |",
    ):
        assert said in text, said
    assert "This was trained with uncommitted changes" in text


def words_of(text: str) -> Sequence[str]:
    return [token.content for token in tokens(text) if token.type == "text"]


def test_a_bundle_that_nobody_measured_says_so(tmp_path: Path) -> None:
    made = tiny_bundle(
        tmp_path / "new",
        calibration=CALIBRATION,
        rejection=Rejection("energy", 5.0, 0.05, "validation", 30),
    )
    text = text_of(comment_on(side_of(made, project=tmp_path), None, price=None, project=tmp_path))
    assert "### Nothing was measured yet" in text
    assert "This was not measured on test photos." in " ".join(words_of(text))
