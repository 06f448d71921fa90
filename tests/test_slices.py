"""Slices of a split: by value and by source."""

from __future__ import annotations

import numpy as np

from kennel.metrics import wilson
from kennel.slices import by_source, by_value

RIGHT = np.ones(40, np.bool_)


def test_quarters_hold_a_quarter_each_from_low_to_high() -> None:
    right = RIGHT.copy()
    right[:10] = False
    found = by_value("size", "pixels", np.arange(40.0), right)
    assert [(each.low, each.high, each.n) for each in found.slices] == [
        (0, 9, 10),
        (10, 19, 10),
        (20, 29, 10),
        (30, 39, 10),
    ]
    assert [each.top1 for each in found.slices] == [0, 1, 1, 1]
    assert found.slices[0].top1_interval == wilson(0, 10)
    assert found.slices[0].name == "0 to 9"


def test_a_slice_stands_out_only_where_intervals_do_not_touch() -> None:
    right = RIGHT.copy()
    right[:3] = False
    assert not by_value("size", "pixels", np.arange(40.0), right).differ
    right[:10] = False
    assert by_value("size", "pixels", np.arange(40.0), right).differ


def test_photos_with_one_value_are_never_torn_apart() -> None:
    values = np.array([224.0] * 35 + [500.0] * 5)
    found = by_value("size", "pixels", values, RIGHT)
    assert [(each.name, each.n) for each in found.slices] == [("224", 35), ("500", 5)]
    assert [each.n for each in by_value("size", "pixels", np.ones(40), RIGHT).slices] == [40]


def test_sources_are_told_by_the_beginning_of_file_names() -> None:
    truth = np.array([0, 1] * 20)
    paths = [f"Beagle/{'oxf' if at < 12 else 'web'}_{at}.jpg" for at in range(38)]
    found = by_source([*paths, "Beagle/plain.jpg", "Beagle/x_1.jpg"], truth, RIGHT)
    assert found is not None
    assert [(each.name, each.n) for each in found.slices] == [
        ("oxf", 12),
        ("web", 26),
        ("others", 2),
    ]


def test_names_that_begin_with_the_label_are_no_sources() -> None:
    paths = [f"{breed}/{breed}_{at}.jpg" for breed in ("beagle", "boxer") for at in range(20)]
    assert by_source(paths, np.repeat([0, 1], 20), RIGHT) is None


def test_one_source_or_too_many_are_none() -> None:
    truth = np.array([0, 1] * 20)
    assert by_source([f"web_{at}.jpg" for at in range(40)], truth, RIGHT) is None
    assert by_source([f"{at}_web.jpg" for at in range(40)], truth, RIGHT) is None
    many = [f"s{at % 13}_{at}.jpg" for at in range(260)]
    right = np.ones(260, np.bool_)
    assert by_source(many, np.array([0, 1] * 130), right) is None
