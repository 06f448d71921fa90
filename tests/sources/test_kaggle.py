"""The Kaggle token: where it is looked for, and how it is shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from kennel.sources import FetchError
from kennel.sources.catalogue import SOURCES
from kennel.sources.kaggle import at_endpoint, authorisation

PAIR = {"KAGGLE_USERNAME": "rex", "KAGGLE_KEY": "bone"}
BASIC = "Basic " + base64.b64encode(b"rex:bone").decode()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_token_goes_before_name_and_key(tmp_path: Path) -> None:
    assert authorisation({"KAGGLE_API_TOKEN": "KGAT_1\n", **PAIR}, tmp_path) == "Bearer KGAT_1"
    write(tmp_path / ".kaggle" / "access_token", "KGAT_2\n")
    assert authorisation(PAIR, tmp_path) == "Bearer KGAT_2"


def test_the_token_may_lie_in_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "token", "KGAT_3\n")
    assert authorisation({"KAGGLE_API_TOKEN": str(path)}, tmp_path) == "Bearer KGAT_3"


def test_name_and_key_are_taken_from_the_environment_then_from_kaggle_json(tmp_path: Path) -> None:
    assert authorisation(PAIR, tmp_path) == BASIC
    write(tmp_path / ".kaggle" / "kaggle.json", json.dumps({"username": "rex", "key": "bone"}))
    assert authorisation({}, tmp_path) == BASIC
    assert authorisation({"KAGGLE_USERNAME": "rex"}, tmp_path) == BASIC


def test_the_folder_of_kaggle_json_can_be_named(tmp_path: Path) -> None:
    write(tmp_path / "there" / "kaggle.json", json.dumps({"username": "rex", "key": "bone"}))
    there = {"KAGGLE_CONFIG_DIR": str(tmp_path / "there")}
    assert authorisation(there, tmp_path / "home") == BASIC


@pytest.mark.parametrize("text", [None, "dog", "[]", '{"username": "rex"}', "null"])
def test_without_a_token_it_is_said_where_to_get_one(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / ".kaggle" / "kaggle.json"
    if text is not None:
        write(path, text)
    with pytest.raises(FetchError) as refused:
        authorisation({}, tmp_path)
    assert "kaggle.com/settings" in refused.value.fix
    assert str(path) in refused.value.fix


def test_a_token_cannot_add_a_header(tmp_path: Path) -> None:
    shown = authorisation({"KAGGLE_API_TOKEN": "a\r\nX-Evil: 1"}, tmp_path)
    assert shown == "Bearer aX-Evil:1"


def test_a_token_with_other_letters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="letters that no token has"):
        authorisation({"KAGGLE_API_TOKEN": "Knöchel"}, tmp_path)


def test_the_host_can_be_another_one() -> None:
    source = SOURCES["kaggle-dogs"]
    assert at_endpoint(source, {}) == source
    moved = at_endpoint(source, {"KAGGLE_API_ENDPOINT": "http://127.0.0.1:8/"})
    assert moved.url == source.url.replace("https://www.kaggle.com", "http://127.0.0.1:8")
