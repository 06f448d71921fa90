"""A project's file is the repository's, but for sections that say otherwise."""

from __future__ import annotations

import pytest

from kennel.project.sections import ROW, filled_in, for_a_project, with_links
from kennel.project.templates import Template, templates

MAKEFILE = """\
all: one
# <kennel>
test:
\tpytest
# </kennel>
# <project>
#| test:
#| \techo @what@
#|
# </project>
# <drawn>
sample: two
# </drawn>
last: @what@ # a comment
"""


def test_what_is_for_kennel_is_left_out_and_what_is_for_a_project_is_no_comment() -> None:
    assert for_a_project(MAKEFILE, leave_out={"kennel", "drawn"}, values={"what": "fine"}) == (
        "all: one\ntest:\n\techo fine\n\nlast: @what@ # a comment\n"
    )


def test_what_depends_on_photos_stays_where_there_are_none() -> None:
    made = for_a_project(MAKEFILE, leave_out={"kennel", "photos"}, values={"what": "fine"})
    assert "sample: two\n" in made


def test_a_section_keeps_its_indentation_and_comments_may_be_slashes() -> None:
    yaml = "a:\n  # <project>\n  #| b: 1 # one\n  # </project>\n"
    assert for_a_project(yaml, leave_out=(), values={}) == "a:\n  b: 1 # one\n"
    json = '{\n  // <project>\n  //| "a": 1\n  // </project>\n}\n'
    assert for_a_project(json, leave_out=(), values={}) == '{\n  "a": 1\n}\n'


def test_marks_of_a_page_are_comments_of_html() -> None:
    page = "a\n\n<!-- <kennel> -->\n## b\n<!-- </kennel> -->\n| c |\n| d | <!-- kennel -->\n| e |\n"
    assert for_a_project(page, leave_out={"kennel"}, values={}) == "a\n\n| c |\n| e |\n"


def test_a_file_without_sections_is_the_same_file() -> None:
    text = "a: ${b}\n# not <kennel>\n\tc@d@\n#| not in a section"
    assert for_a_project(text, leave_out={"kennel"}, values={}) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# <kennel>\na\n", "<kennel> is not closed"),
        ("a\n# </kennel>\n", "line 2: # </kennel> within None"),
        ("# <kennel>\n# <drawn>\n", "line 2: # <drawn> within <kennel>"),
        ("# <kennels>\n", "line 1: there is no section <kennels>"),
        ("# <project>\na: 1\n# </project>\n", "line 2 of a section <project>"),
        ("# <project>\n#| @who@\n# </project>\n", "@who@ has no value; there are what"),
    ],
)
def test_a_slip_in_the_marks_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        for_a_project(text, leave_out={"kennel"}, values={"what": "x"})


def test_links_of_a_page_lead_to_files_of_the_project_and_elsewhere() -> None:
    page = (
        "[a](../../dvc.yaml) [b](../why/1.md#x) [c](serve.md#y) [d](https://e.org) [f](#g) [h](..)"
    )
    there = {"dvc.yaml", "docs/guide/serve.md", "docs/guide/data.md"}
    assert with_links(page, page="docs/guide/data.md", there=there) == (
        "[a](../../dvc.yaml) b [c](serve.md#y) [d](https://e.org) [f](#g) [h](..)"
    )


def test_a_value_is_not_filled_in_again() -> None:
    assert filled_in("@a@", {"a": "@b@", "b": "no"}) == "@b@"


@pytest.mark.parametrize("template", templates(), ids=lambda each: each.path)
def test_every_template_is_made_without_a_slip(template: Template) -> None:
    text = template.file.read_text(encoding="utf-8")
    names = ("title", "slug", "version", "photo", "photo_in_make")
    names += ("photos", "photos_in_compose", "photos_in_words")
    for leave_out in ({"kennel", "drawn"}, {"kennel", "photos"}):
        made = for_a_project(text, leave_out=leave_out, values=dict.fromkeys(names, "x"))
        assert "<project>" not in made
        if (
            template.shared
            and "kennel>" not in text
            and ROW not in text
            and "<project>" not in text
        ):
            assert made == text or "<drawn>" in text
