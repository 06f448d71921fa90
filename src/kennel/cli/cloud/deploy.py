"""`kennel cloud deploy`: the stacks, the image, the function, and its first answer, compared.

Says what it will do and what that costs, and asks once. The second time there is nothing to do;
after a cut the same command goes on. `--back` lets the version before answer again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.cli.cloud.consent import (
    add_only,
    add_templates,
    add_yes,
    check_somebody,
    consent,
    meant,
    row,
    say,
)
from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.cloud.deployed import Deployed
    from kennel.cloud.deploying import Plan
    from kennel.cloud.deployment import Deployment
    from kennel.cloud.function import Check
    from kennel.cloud.image import LocalImage

EXAMPLE = """kennel cloud deploy --bundle bundles/<id>
  kennel cloud deploy --only storage --yes
  kennel cloud deploy --back"""
MARKS = {"added": "+", "taken in": "+", "changed": "~", "replaced": "!", "removed": "-"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_templates(parser)
    parser.add_argument(
        "--bundle",
        metavar="BUNDLE",
        type=Path,
        default=Path("bundles"),
        help="whose answers the function must give; a folder of bundles: the last (default: "
        "bundles)",
    )
    parser.add_argument(
        "--image",
        metavar="REF",
        default="kennel-serve",
        help="of docker or buildah, with that bundle in it (default: %(default)s)",
    )
    parser.add_argument(
        "--photo",
        metavar="PHOTO",
        type=Path,
        help="JPEG that the function is asked about (default: a drawn one)",
    )
    add_only(parser)
    parser.add_argument(
        "--back", action="store_true", help="the version before answers again; nothing else"
    )
    parser.add_argument(
        "--with-data",
        action="store_true",
        help="also where something that holds data is replaced or removed",
    )
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    from kennel.cloud import deploying, doctor

    check_somebody(args)
    deployment = meant(args)
    if args.back:
        return _back(args, deployment)
    rooms = tuple(args.only)
    serves = any(each.room == "service" for each in deployment.only(rooms))
    lacking = doctor.failing(tuple(doctor.examine(deployment, with_image=serves)))
    if lacking:
        for each in lacking:
            sys.stderr.write(f"error: {each.name}: {each.found}.\nfix: {each.fix}\n")
        return 1
    image, check = _served(args) if serves else (None, None)
    planned = deploying.plan(deployment, only=rooms, image=image, say=say)
    if planned.nothing:
        return _done(args, deploying.deploy(planned, check=check, say=say), nothing=True)
    _tell(planned)
    _tell_cost(deployment)
    if not _agreed(args, planned):
        deploying.forget(planned)
        say("nothing was done")
        return 1
    try:
        deployed = deploying.deploy(planned, check=check, with_data=args.with_data, say=say)
    except KeyboardInterrupt:
        say("\nstopped: AWS ends what it has begun; the same command goes on from there")
        raise
    return _done(args, deployed, nothing=False)


def _served(args: argparse.Namespace) -> tuple[LocalImage, Check]:
    """The image, looked at, and what its bundle answers for a photo here."""
    from kennel.bundle import read_bundle
    from kennel.cloud.image import local_image
    from kennel.named import bundle_named

    path = bundle_named(args.bundle)
    bundle = read_bundle(path)
    rebuild = f"make images ARGS=serve BUNDLE={path}"
    image = local_image(args.image, bundle=bundle.bundle_id, rebuild=rebuild)
    return image, own_answer(path, args.photo)


def own_answer(bundle: Path, photo: Path | None) -> Check:
    """What `kennel predict` says of a photo; of none, a drawn one."""
    from kennel.bundle import read_bundle
    from kennel.cloud.function import Check
    from kennel.images import read_photo
    from kennel.infer import OnnxClassifier
    from kennel.outputs import Outputs
    from kennel.sample import draw_sample

    with tempfile.TemporaryDirectory(prefix="kennel-deploy-") as folder:
        named = photo or draw_sample(Path(folder) / "drawn", labels=2, per_label=1)[0]
        content = named.read_bytes()
        if content[:2] != b"\xff\xd8":
            raise UsageError(f"{named} is no JPEG.", fix="--photo photo.jpg")
        classifier = OnnxClassifier(read_bundle(bundle))
        batch = read_photo(named, classifier.bundle.preprocess)[None]
    given = classifier.outputs(batch)
    features = None if given.features is None else given.features[0]
    answer = classifier.answer(Outputs(given.logits[0], features))
    return Check(content, answer.label, answer.probability, classifier.bundle.bundle_id)


def _tell(planned: Plan) -> None:
    deployment = planned.deployment
    say(f"{deployment.name} in {deployment.region}, account {planned.account}")
    for step in planned.steps:
        how = f"{step.how} ({step.status})" if step.how == "mended" else step.how
        say(f"{step.stack.name}: {how}")
        if step.how in ("new", "mended"):
            kinds: dict[str, int] = {}
            for change in step.changes:
                kinds[change.kind] = kinds.get(change.kind, 0) + 1
            for kind, count in sorted(kinds.items()):
                say(f"  + {kind}{f' x {count}' if count > 1 else ''}")
            continue
        for change in step.changes:
            lost = ", and what it holds is lost" if change.keeps_data else ""
            mark = MARKS.get(change.action, "?")
            say(f"  {mark} {change.logical} {change.kind}: {change.action}{lost}")
    if planned.image is not None:
        there = "already there" if planned.digest else "pushed"
        say(f"image {planned.image.tag}: {there}; the function is asked when it stands")


def _tell_cost(deployment: Deployment) -> None:
    """Of all its stacks, by list prices."""
    from kennel.cloud.cost import cost_of
    from kennel.cloud.cost.measured import shipped

    cost = cost_of(deployment, shipped())
    say(f"costs {cost.idle.usd:.2f} $ a month with nothing asked, by list prices")
    for each in cost.answers[:1]:
        say(f"  {each.per_1000:.4f} $ for 1,000 answers, {each.work.name}")
    for worst in cost.worst:
        most = f"{worst.at_once} at once, for {worst.open_to}"
        say(f"  {worst.hour.usd:.2f} $ in the worst hour: {most}")
    say("  more of it: kennel cloud cost")


def _agreed(args: argparse.Namespace, planned: Plan) -> bool:
    if planned.losses and not args.with_data and not args.yes:
        names = ", ".join(each.physical or each.logical for each in planned.losses)
        say(f"{names}: what it holds is lost. That wants --with-data")
        return False
    return consent("do it?", args)


def _back(args: argparse.Namespace, deployment: Deployment) -> int:
    from kennel.cloud.going_back import answering, roll_back, the_one_before

    function, present = answering(deployment)
    earlier = the_one_before(function, present)
    say(f"version {earlier.number} ({earlier.digest[:19]}) answers instead of {present.number}")
    if not consent("do it?", args):
        say("nothing was done")
        return 1
    return _done(args, roll_back(deployment, say=say), nothing=False)


def _done(args: argparse.Namespace, deployed: Deployed, *, nothing: bool) -> int:
    if args.json:
        print(json.dumps({"nothing_to_do": nothing, **asdict(deployed)}, indent=2))
        return 0
    if nothing:
        print("nothing to do")
    for name in deployed.done:
        row("done", name)
    if deployed.digest:
        row("bundle", deployed.bundle)
        row("version", f"{deployed.version}, {deployed.digest}")
        row("address", deployed.url)
        row("asked", "answers as the bundle does" if deployed.checked else "not asked")
    print("next: kennel cloud status")
    return 0
