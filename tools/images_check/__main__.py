"""Builds the images without an engine; tries serve as a container and as a Lambda function.

    make images-check                            ARGS="serve ui train" for all three
    sudo python3 tools/images_check --bundle bundles/<id> --photo photo.jpg

Needs buildah and the right to mount (root). A base that cannot be pulled is stood in for, and that
is said. What is kept: the stand-in of Python and the builds' logs, in --folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "src"))

import answering
import workshop
from building import ROOT, Base, Builder, RefusedError, bases_of, pip_settings

KEPT = Path("/var/cache/kennel/images-check")
TOOLS = {
    "buildah": "apt-get install buildah",
    "nsenter": "apt-get install util-linux",
    "unshare": "apt-get install util-linux",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, help="what is served (default: one made here, of 1 kB)"
    )
    parser.add_argument("--photo", type=Path, help="what is asked (default: a drawn dog)")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="serve (default), ui, train")
    parser.add_argument("--stand-ins", action="store_true", help="do not try to pull any base")
    parser.add_argument("--folder", type=Path, default=KEPT, help=f"default: {KEPT}")
    args = parser.parse_args()
    try:
        see_to_tools()
        with tempfile.TemporaryDirectory(prefix="images-check-") as scratch:
            check(args, Path(scratch))
    except RefusedError as error:
        print(f"error: {error.message}\nfix: {error.fix}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        said = str(error.stderr or "").strip()
        print(f"error: {error}\n{said}\nfix: rm -r {args.folder}, then again", file=sys.stderr)
        return 1
    except AssertionError as error:
        print(f"FAILED  {error}", file=sys.stderr)
        return 1
    return 0


def see_to_tools() -> None:
    for tool, fix in TOOLS.items():
        if shutil.which(tool) is None:
            raise RefusedError(f"there is no {tool} here; images are built and run with it.", fix)
    if os.geteuid() != 0:
        raise RefusedError(
            "this mounts what it built and needs root for that.",
            "sudo make images-check; or with Docker: make images, docker run kennel-serve",
        )
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise RefusedError(
            f"this system permits no namespaces of one's own: {tried.stderr.strip()}.",
            "run it on a machine, not in a container; or in one with --privileged",
        )


def check(args: argparse.Namespace, scratch: Path) -> None:
    builder = Builder(args.folder.resolve())
    bundle = args.bundle.resolve() if args.bundle else small_bundle(scratch / "small")
    photo = args.photo.resolve() if args.photo else drawn_photo(scratch / "drawn")
    bases: dict[str, Base] = {}
    images = args.images or ["serve"]
    if unknown := set(images) - {"serve", "ui", "train"}:
        raise RefusedError(f"there is no image {', '.join(unknown)}.", "name serve, ui or train")
    for reference, digest in sorted({base for image in images for base in bases_of(image)}):
        bases[reference] = builder.base(reference, digest, pull=not args.stand_ins)
        say("base", f"{reference}: {bases[reference].stands_in or 'pulled'}")
    with pip_settings(scratch) as settings:
        for name in images:
            told = {"BUNDLE": str(bundle)} if name != "train" else {"BUNDLE": ""}
            torch = settings.torch if name == "train" else []
            seconds = builder.build(name, bases, *settings.secrets, *torch, **told)
            with builder.opened(f"kennel-{name}") as image:
                say(name, f"built in {seconds:.0f} s; {megabytes(image.root)} MB unpacked")
                if name == "train":
                    workshop.check(image, scratch=scratch, say=say)
                else:
                    expected = predicted(bundle, photo)
                    tried = answering.check_serve if name == "serve" else answering.check_ui
                    tried(
                        image,
                        bundle=bundle,
                        photo=photo,
                        expected=expected,
                        scratch=scratch,
                        say=say,
                    )
            builder.forget(f"kennel-{name}")


def say(what: str, how: str) -> None:
    print(f"ok  {what:<9} {how}", flush=True)


def megabytes(folder: Path) -> int:
    """Size of all files, each counted once; 1 MB is 10^6 bytes."""
    seen: set[int] = set()
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(os.path.join(path, name))  # noqa: PTH118 - 20,000 of them
            if stat.st_ino not in seen:
                seen.add(stat.st_ino)
                total += stat.st_size
    return round(total / 1e6)


def kennel(*words: object) -> str:
    """What a verb prints, of the kennel that lies here."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "kennel", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RefusedError(
            f"kennel {words[0]} failed: {done.stderr.strip()}", "make setup, then again"
        )
    return done.stdout


def predicted(bundle: Path, photo: Path) -> dict[str, object]:
    """What the command line answers, outside of any container."""
    answer: dict[str, object] = json.loads(kennel("predict", bundle, photo, "--json"))[0]
    return answer


def drawn_photo(folder: Path) -> Path:
    kennel("sample", folder, "--labels", 2, "--per-label", 1)
    return sorted(folder.rglob("*.jpg"))[0]


def small_bundle(folder: Path) -> Path:
    """One of the tests': no weights to speak of, answers in a millisecond."""
    script = "import sys, pathlib, bundles; bundles.tiny_bundle(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    subprocess.run([sys.executable, "-c", script, folder], env=environment, check=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
