"""The repository's workflows, as GitHub reads them: jobs, steps, lines that run, expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
ACTIONS = ROOT / ".github" / "actions"
OWN = "$/"  # `uses:` of the same repository, at the same commit
TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<sign>&&|\|\||==|!=|[!()])|(?P<name>[A-Za-z_][\w.*-]*))"
)


class Loader(yaml.SafeLoader):
    """YAML in which `on` is a word, as GitHub has it."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


def read(path: Path) -> dict[str, Any]:
    found = yaml.load(path.read_text(encoding="utf-8"), Loader)
    assert isinstance(found, dict)
    return found


def workflows(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Every workflow by the name of its file."""
    found = sorted((root / ".github" / "workflows").glob("*.yml"))
    return {path.stem: read(path) for path in found}


def steps_of(job: Mapping[str, Any], root: Path = ROOT) -> Iterator[dict[str, Any]]:
    """A job's steps, with the steps of this repository's own actions in their place."""
    for step in job.get("steps", ()):
        uses = step.get("uses", "")
        if uses.startswith(OWN):
            action = read(root / uses.removeprefix(OWN) / "action.yml")
            yield from action["runs"]["steps"]
        else:
            yield step


@dataclass(frozen=True)
class Line:
    """One line of a `run:`."""

    workflow: str
    job: str
    text: str


def lines(root: Path = ROOT) -> list[Line]:
    """Every line that any workflow runs."""
    return [
        Line(name, job, text.strip())
        for name, workflow in workflows(root).items()
        for job, told in workflow["jobs"].items()
        for step in steps_of(told, root)
        for text in step.get("run", "").splitlines()
        if text.strip()
    ]


def make_verbs(root: Path = ROOT) -> set[str]:
    text = (root / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


# ---- expressions, as many of them as the workflows have


def filled(text: str, look: Callable[[str], Any]) -> str:
    """A value with its ${{ }} worked out.

    Args:
        look: gives what a name such as vars.AWS_REGION or always() stands for.
    """
    return re.sub(r"\$\{\{(.+?)\}\}", lambda found: written(value_of(found[1], look)), text)


def value_of(expression: str, look: Callable[[str], Any]) -> Any:
    """What an expression is worth; `&&` and `||` give one of their sides, as in JavaScript."""
    tokens, at = [], 0
    text = expression.strip().removeprefix("${{").removesuffix("}}").strip()
    while at < len(text):
        found = TOKEN.match(text, at)
        assert found is not None, f"no expression that is known here: {text}"
        tokens.append(found[0].strip())
        at = found.end()
    worth = _either(tokens, look)
    assert not tokens, f"more than an expression: {text}"
    return worth


def _either(tokens: list[str], look: Callable[[str], Any]) -> Any:
    left = _both(tokens, look)
    while tokens[:1] == ["||"]:
        tokens.pop(0)
        right = _both(tokens, look)
        left = left or right
    return left


def _both(tokens: list[str], look: Callable[[str], Any]) -> Any:
    left = _same(tokens, look)
    while tokens[:1] == ["&&"]:
        tokens.pop(0)
        right = _same(tokens, look)
        left = left and right
    return left


def _same(tokens: list[str], look: Callable[[str], Any]) -> Any:
    left = _one(tokens, look)
    if tokens[:1] in (["=="], ["!="]):
        equal = tokens.pop(0) == "=="
        return (written(left) == written(_one(tokens, look))) == equal
    return left


def _one(tokens: list[str], look: Callable[[str], Any]) -> Any:
    token = tokens.pop(0)
    if token == "!":
        return not _one(tokens, look)
    if token == "(":
        inner = _either(tokens, look)
        assert tokens.pop(0) == ")"
        return inner
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    if tokens[:2] == ["(", ")"]:
        del tokens[:2]
        return look(f"{token}()")
    return look(token)


def written(worth: Any) -> str:
    if worth is None:
        return ""
    return str(worth).lower() if isinstance(worth, bool) else str(worth)
