"""What `make check` looks at besides Python: workflows, Dockerfiles, Compose, shell, templates, and
whether a locked version has a known hole.

Each linter gets the files that are there. None there, or no network for the one that needs it, is
said, and is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What git does not keep and is looked at all the same, where it was made.
MADE = {"cfn-lint": "deploy/aws/cdk.out/*.template.json"}
OTHERS = {".venv", "node_modules", "dist"}  # where files of other people lie
OSV = "https://api.osv.dev/v1/query"  # knows holes, and releases that are malware


@dataclass(frozen=True)
class Place:
    """Where is linted, with which programs."""

    root: Path
    tools: Path
    osv: str

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"  # actionlint looks for shellcheck
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.root,
            env={**os.environ, "PATH": path, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )


@dataclass(frozen=True)
class Finding:
    """What a linter said. failed: it objects; None: it did not run, and `said` is why."""

    failed: bool | None
    said: str


Linter = Callable[[Place, list[Path]], Finding]


def main(words: list[str]) -> int:
    """0 when no linter objects. Prints a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="what is linted; default: this repository"
    )
    parser.add_argument(
        "--tools", type=Path, default=ROOT / ".venv/tools/bin", help="where the linters are"
    )
    parser.add_argument(
        "--osv", default=OSV, help="who is asked for known holes; default: %(default)s"
    )
    parser.add_argument("linters", nargs="*", help=f"of {', '.join(LINTERS)}; default: all")
    given = parser.parse_args(words)
    place = Place(given.root.resolve(), given.tools.absolute(), given.osv)
    if unknown := set(given.linters) - set(LINTERS):
        parser.error(f"there is no linter {', '.join(sorted(unknown))}")
    kept = tracked(place.root)
    failed = False
    for name, (patterns, linter) in LINTERS.items():
        if given.linters and name not in given.linters:
            continue
        files = [path for path in kept if any(map(path.match, patterns))]
        files = [path for path in files if name != "shellcheck" or is_shell(place.root / path)]
        files += made(place.root, MADE.get(name), files)
        try:
            found = linter(place, files) if files else Finding(None, "nothing here to look at")
        except FileNotFoundError as error:  # or what starts it is gone, which its first line names
            said = f"error: {error.filename} does not start.\nfix: rm -rf .venv/tools && make check"
            found = Finding(True, said)
        mark = {True: "failed", False: "good", None: "skipped"}[found.failed]
        note = found.said if found.failed is None else ", ".join(map(str, files[:3]))
        note += f" and {len(files) - 3} more" if found.failed is not None and len(files) > 3 else ""
        print(f"{name:<12} {mark:<8} {note}")
        if found.failed:
            print(found.said.strip(), file=sys.stderr)
        failed |= bool(found.failed)
    return int(failed)


def tracked(root: Path) -> list[Path]:
    """Files that git has or would take, relative to root; without git all that are one's own."""
    if shutil.which("git") and (root / ".git").exists():
        done = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            names = sorted({Path(name.decode()) for name in done.stdout.split(b"\0") if name})
            return [name for name in names if (root / name).is_file()]
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return sorted(path for path in found if not OTHERS & set(path.parts))


def made(root: Path, pattern: str | None, known: list[Path]) -> list[Path]:
    found = root.glob(pattern) if pattern else ()
    return [path.relative_to(root) for path in sorted(found) if path.relative_to(root) not in known]


def is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(re.match(rb"#!.*\b(sh|bash|dash)\b", file.readline(100)))


def plain(*words: str, place: Place, files: list[Path]) -> Finding:
    """A linter that takes files and ends with 0 where they are good."""
    done = place.run(*words, *files)
    return Finding(done.returncode != 0, done.stdout + done.stderr)


def simply(*words: str) -> Linter:
    return lambda place, files: plain(*words, place=place, files=files)


def actionlint(place: Place, files: list[Path]) -> Finding:
    """It looks for its settings at the root of a git repository, which a project may not be."""
    settings = Path(".github") / "actionlint.yaml"
    named = ("-config-file", str(settings)) if (place.root / settings).exists() else ()
    return plain("actionlint", "-no-color", *named, place=place, files=files)


def compose(place: Place, files: list[Path]) -> Finding:
    """Whether each file is one that Compose takes, with no profile, with each, and with all."""
    program = compose_program(place)
    if program is None:
        return Finding(
            None, "there is neither `docker compose` nor the program of locks/compose.lock"
        )
    said = []
    for file in files:
        call = partial(place.run, *program, "--project-directory", place.root, "-f", file)
        profiles = call("config", "--profiles").stdout.split()
        for chosen in ([], *([one] for one in profiles), ["*"]):
            options = [word for profile in chosen for word in ("--profile", profile)]
            done = call(*options, "config", "--quiet")
            # A variable that is not set is a warning there and an empty string in the container.
            if done.returncode or "variable is not set" in done.stderr:
                said.append(f"{file} {' '.join(options)}\n{done.stdout}{done.stderr}")
    return Finding(bool(said), "\n".join(said))


def compose_program(place: Place) -> list[str | Path] | None:
    if shutil.which("docker") and place.run("docker", "compose", "version").returncode == 0:
        return ["docker", "compose"]
    locked = place.tools.parent / "compose" / "compose" / "docker-compose"
    return [locked] if locked.exists() else None


def audit(place: Place, files: list[Path]) -> Finding:
    """Whether a locked version has a known hole, or is known to be malware."""
    if why := out_of_reach(place.osv):
        return Finding(None, f"{place.osv} is out of reach ({why})")
    command = ["pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    command += ["--format", "json", "-s", "osv", "--osv-url", place.osv]
    command += [word for known in accepted(place.root) for word in ("--ignore-vuln", known)]
    done = place.run(*command, *(word for file in files for word in ("-r", str(file))))
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        return Finding(True, done.stderr)
    holes = [row for row in found if row.get("vulns")]
    unknown = [row["name"] for row in found if "skip_reason" in row]
    said = [
        f"{row['name']} {row['version']}: {hole['id']}, mended in {hole['fix_versions'] or 'none'}"
        for row in holes
        for hole in row["vulns"]
    ]
    if said:
        said.append(
            'fix: make lock ARGS="--upgrade-package NAME", or say in locks/accepted.txt why not'
        )
    if unknown:
        said.append(f"not looked up: {', '.join(unknown)}")
    return Finding(bool(said), "\n".join(said))


def out_of_reach(url: str) -> str | None:
    try:
        urllib.request.urlopen(url, timeout=10).close()  # noqa: S310 - its default, or what was given
    except urllib.error.HTTPError:
        return None  # it answers, though not to an empty question
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None


def accepted(root: Path) -> Iterable[str]:
    """Holes that are known and do not matter here, of locks/accepted.txt: an id a line, and why."""
    file = root / "locks" / "accepted.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


LINTERS: dict[str, tuple[tuple[str, ...], Linter]] = {
    "zizmor": (
        (
            ".github/workflows/*.y*ml",
            "action.y*ml",
            ".github/dependabot.y*ml",
            ".pre-commit-config.yaml",
        ),
        simply("zizmor", "--offline", "--no-progress", "--quiet", "--collect=all"),
    ),
    "actionlint": ((".github/workflows/*.y*ml",), actionlint),
    "hadolint": (("*Dockerfile",), simply("hadolint", "--no-color")),
    "compose": (("compose*.y*ml", "docker-compose*.y*ml"), compose),
    "shellcheck": (("*",), simply("shellcheck", "--color=never")),
    "cfn-lint": (("*.template.json", "*.template.y*ml"), simply("cfn-lint", "--")),
    "pip-audit": (("requirements.lock", "locks/*.lock"), audit),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
