"""`kennel promote BUNDLE`: makes it champion in the registry, when it is shown not to be worse.

The gate: on photos that neither was trained on, the interval of the difference of top1 lies above
minus the margin. Where there is no champion yet, it must be better than always answering the most
frequent label. --force with a --reason goes past the gate, and both are recorded. A registry is a
folder or an S3 prefix; its history is only ever added to.
"""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kennel.cli.progress import Counter
from kennel.errors import KennelError, UsageError

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.registry.entry import Entry, Gate
    from kennel.registry.history import Registry
    from kennel.registry.store import Store

EXAMPLE = """kennel promote bundles/<id>
  kennel promote bundles/<id> --registry s3://bucket/prefix --data data/dataset.csv
  kennel promote bundles/<id> --force --reason "the champion knows no Beagle"
  kennel promote --rollback
  kennel promote --champion --to bundles/champion"""
COLUMN, WIDTH = 12, 80
ACTIONS = ("rollback", "history", "champion", "verify")
FRESH = "-"  # --rollback without a word


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from kennel.cli.compare import add_photos, share
    from kennel.registry.entry import MARGIN

    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        nargs="?",
        help="the candidate, or a folder of bundles: the last one in it",
    )
    parser.add_argument(
        "--registry",
        metavar="DIR|S3",
        default=os.environ.get("KENNEL_REGISTRY") or "registry",
        help="folder, or s3://bucket/prefix (default: KENNEL_REGISTRY, or registry)",
    )
    add_photos(parser)
    parser.add_argument(
        "--margin",
        metavar="SHARE",
        type=share,
        default=MARGIN,
        help="share of top1 that it must be shown not to lose (default: %(default)s)",
    )
    parser.add_argument(
        "--or-keep",
        action="store_true",
        help="a candidate that is not good enough is no failure: the champion stays, exit 0",
    )
    parser.add_argument("--force", action="store_true", help="past the gate; wants --reason")
    parser.add_argument("--reason", metavar="TEXT", default="", help="recorded in the history")
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--rollback",
        metavar="ENTRY|BUNDLE_ID",
        nargs="?",
        const=FRESH,
        help="back to the champion before, or to that of an entry",
    )
    action.add_argument("--history", action="store_true", help="who was champion, and why")
    action.add_argument("--champion", action="store_true", help="where the champion lies")
    action.add_argument(
        "--verify", action="store_true", help="look at every entry and every byte of every bundle"
    )
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="with --champion: copy it there, verified"
    )


def run(args: argparse.Namespace) -> int:
    from kennel.registry.history import Registry

    _refuse_together(args)
    registry = Registry(_store(args.registry))
    if args.history:
        return _history(registry, args)
    if args.champion:
        return _champion(registry, args)
    if args.verify:
        return _verify(registry, args)
    if args.rollback is not None:
        return _rollback(registry, args)
    return _promote(registry, args)


def _refuse_together(args: argparse.Namespace) -> None:
    asked = [name for name in ACTIONS if getattr(args, name)]
    if bool(args.bundle) == bool(asked):
        what = f"BUNDLE and --{asked[0]}" if asked else "neither a BUNDLE nor an action"
        raise UsageError(
            f"kennel promote was given {what}; it wants one of them.", fix="kennel promote --help"
        )
    if args.force and asked:
        raise UsageError(
            f"--force is for the gate, which --{asked[0]} has not.", fix="leave it out"
        )
    if args.force and not args.reason.strip():
        raise UsageError("--force wants a reason, which is recorded.", fix='add --reason "..."')
    if args.or_keep and asked:
        raise UsageError(
            f"--or-keep is for the gate, which --{asked[0]} has not.", fix="leave it out"
        )
    if args.to is not None and not args.champion:
        raise UsageError("--to says where the champion is copied to.", fix="add --champion")


def _store(address: str) -> Store:
    if address.startswith("s3://"):
        from kennel.sources.s3 import S3Store

        return S3Store(address)
    from kennel.registry.store import FolderStore

    if "://" in address:
        raise UsageError(
            f"{address} is neither a folder nor in S3.", fix="such as s3://bucket/registry"
        )
    return FolderStore(Path(address))


# ---- kennel promote BUNDLE


def _promote(registry: Registry, args: argparse.Namespace) -> int:
    from kennel.bundle import read_bundle
    from kennel.named import bundle_named
    from kennel.registry import RegistryError

    args.bundle = bundle_named(args.bundle)
    bundle = read_bundle(args.bundle)
    newest = registry.newest()
    gate, unmeasured = None, ""
    try:
        gate = _gate(registry, newest, bundle, args)
    except KennelError as error:
        if not args.force:
            raise
        unmeasured = error.message
    if gate is not None and gate.same_model and not args.force:
        return _already(registry, newest, gate, args)
    passed = gate is not None and gate.passed
    if not passed and not args.force:
        assert gate is not None
        if args.json:
            print(json.dumps({"promoted": False, "gate": asdict(gate)}, indent=2))
            return 0 if args.or_keep else 1
        if args.or_keep:
            print(_fact("kept", f"{bundle.bundle_id} is not promoted; it is {gate.why}"))
            return 0
        raise RegistryError(
            f"{bundle.bundle_id} is not promoted; it is {gate.why}.", fix=_way_out(gate, args)
        )
    place = registry.put(bundle)
    entry = replace(
        _entry(registry, newest, bundle, args),
        place=place.folder,
        bundle_json_sha256=place.bundle_json_sha256,
        signature_sha256=place.signature_sha256,
        forced=not passed,
        gate=gate,
        unmeasured=unmeasured,
    )
    _say_entry(registry, entry, registry.append(entry), args)
    return 0


def _gate(
    registry: Registry, newest: Entry | None, bundle: Bundle, args: argparse.Namespace
) -> Gate:
    from kennel.compare import choose_photos, duel, gate_against, gate_alone
    from kennel.machine import usable_cores

    if newest is None:
        subject = choose_photos((bundle,), csv=args.data, split=args.split)
        counter = Counter(len(subject.photos), "answers")
        gate = gate_alone(bundle, subject, threads=usable_cores(), on_photo=counter.tick)
        counter.close()
        return gate
    with registry.opened(newest) as champion:
        subject = choose_photos((champion, bundle), csv=args.data, split=args.split)
        counter = Counter(2 * len(subject.photos), "answers")
        fought = duel(champion, bundle, subject, threads=usable_cores(), on_photo=counter.tick)
        counter.close()
        return gate_against(fought, args.margin)


def _already(registry: Registry, newest: Entry | None, gate: Gate, args: argparse.Namespace) -> int:
    assert newest is not None
    if args.json:
        print(json.dumps({"promoted": False, "champion": newest.bundle_id, "gate": asdict(gate)}))
    else:
        print(_fact("champion", f"{newest.bundle_id} since {newest.created_utc}: the same model"))
        print(f"next: kennel promote --champion{_where(args)}")
    return 0


def _way_out(gate: Gate, args: argparse.Namespace) -> str:
    force = 'or promote it all the same: --force --reason "..."'
    if gate.champion is None:
        return f"look at kennel evaluate {args.bundle}; {force}"
    return (
        "measure on more photos: --data CSV; state how much may be lost: --margin SHARE; see where "
        f"they differ: kennel compare; {force}"
    )


def _entry(
    registry: Registry, newest: Entry | None, bundle: Bundle, args: argparse.Namespace
) -> Entry:
    """An entry without what is yet to be known of it."""
    from kennel import __version__
    from kennel.machine import git_state, utc_now
    from kennel.registry.entry import Entry

    number, before = registry.next_number(newest)
    commit, dirty = git_state(Path.cwd())
    return Entry(
        number=number,
        action="promote",
        bundle_id=bundle.bundle_id,
        place="",
        bundle_json_sha256="",
        signature_sha256=None,
        previous_champion=newest.bundle_id if newest else None,
        previous_sha256=before,
        returns_to=None,
        forced=False,
        reason=args.reason.strip(),
        gate=None,
        unmeasured="",
        created_utc=utc_now(),
        kennel=__version__,
        git_commit=commit,
        dirty=dirty,
    )


def _say_entry(registry: Registry, entry: Entry, digest: str, args: argparse.Namespace) -> None:
    lies = f"{registry.store.address}/{entry.place}"
    if args.json:
        document = {"promoted": True, "path": lies, "entry": asdict(entry), "entry_sha256": digest}
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return
    print(_fact("champion", entry.bundle_id))
    print(_fact("lies in", lies))
    if entry.gate is not None:
        print(_told("gate", f"{entry.gate.why} (n {entry.gate.n}, split {entry.gate.split})"))
        for remark in entry.gate.remarks:
            print(_told("note", remark))
    if entry.unmeasured:
        print(_told("gate", f"could not be asked: {entry.unmeasured}"))
    if entry.forced:
        print(_fact("forced", entry.reason))
    print(_fact("entry", f"{entry.number}  sha256 {digest[:16]}"))
    print(f"next: kennel promote --history{_where(args)}")


# ---- kennel promote --rollback


def _rollback(registry: Registry, args: argparse.Namespace) -> int:
    from kennel.registry import RegistryError
    from kennel.registry.history import champions, named_entry

    entries = registry.entries()
    if not entries:
        raise _nobody(registry)
    newest, line = entries[-1], champions(entries)
    if args.rollback == FRESH:
        if len(line) < 2:
            raise RegistryError(
                f"there is no champion before {newest.bundle_id}.",
                fix="promote another: kennel promote BUNDLE",
            )
        target = line[-2]
    else:
        target = named_entry(entries, args.rollback)
        if target.number == line[-1].number:
            raise RegistryError(
                f"{newest.bundle_id} is the champion already.",
                fix="name another; kennel promote --history lists them",
            )
    with registry.opened(target) as bundle:  # whole, or refused
        entry = replace(
            _entry(registry, newest, bundle, args),
            action="rollback",
            place=target.place,
            bundle_json_sha256=target.bundle_json_sha256,
            signature_sha256=target.signature_sha256,
            returns_to=target.number,
        )
    _say_entry(registry, entry, registry.append(entry), args)
    return 0


# ---- kennel promote --history | --champion | --verify


def _history(registry: Registry, args: argparse.Namespace) -> int:
    entries = registry.entries()
    if args.json:
        print(json.dumps([asdict(each) for each in entries], ensure_ascii=False, indent=2))
        return 0
    for each in reversed(entries):
        print(f"{each.number:>6}  {each.created_utc}  {each.action:<9} {each.bundle_id}")
        print(_told("", _because(each)))
    if entries:
        print(f"next: kennel promote --champion{_where(args)}")
    else:
        print("nobody was ever champion\nnext: kennel promote BUNDLE")
    return 0


def _because(entry: Entry) -> str:
    said = f"forced: {entry.reason}; " if entry.forced else ""
    if entry.action == "rollback":
        back = f"back to entry {entry.returns_to}, from {entry.previous_champion}"
        return f"{back}: {entry.reason}" if entry.reason else back
    if entry.gate is None:
        return f"{said}the gate could not be asked: {entry.unmeasured}"
    return f"{said}{entry.gate.why}, n {entry.gate.n}"


def _champion(registry: Registry, args: argparse.Namespace) -> int:
    newest = registry.newest()
    if newest is None:
        raise _nobody(registry)
    path = f"{registry.store.address}/{newest.place}"
    if args.to is not None:
        path = str(registry.fetch(newest, args.to).path)
    elif registry.store.folder(newest.place) is not None:
        with registry.opened(newest) as bundle:
            path = str(bundle.path)
    if args.json:
        document = {"path": path, "bundle": newest.bundle_id, "entry": asdict(newest)}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        print(path)
    return 0


def _verify(registry: Registry, args: argparse.Namespace) -> int:
    found = registry.verify()
    if args.json:
        document: dict[str, Any] = {**asdict(found), "whole": not found.damage}
        print(json.dumps(document, indent=2))
        return int(bool(found.damage))
    counted = f"{found.entries} in the history, {found.bundles} bundles, {found.files} files"
    print(_fact("entries", counted))
    if found.newest_sha256:
        print(_fact("newest", f"sha256 {found.newest_sha256}"))
    for each in found.damage:
        print(_fact("damaged", each))
    if found.damage:
        print("next: put back what is damaged from a copy of the registry")
    else:
        print(_fact("verified", "all is what it was when it was written"))
        print(f"next: kennel promote --champion{_where(args)}")
    return int(bool(found.damage))


def _nobody(registry: Registry) -> KennelError:
    from kennel.registry import RegistryError

    return RegistryError(
        f"{registry.store.address} has no champion yet.", fix="make one: kennel promote BUNDLE"
    )


def _where(args: argparse.Namespace) -> str:
    default = os.environ.get("KENNEL_REGISTRY") or "registry"
    return "" if args.registry == default else f" --registry {args.registry}"


def _fact(name: str, value: str) -> str:
    return f"{name:<{COLUMN}}{value}"


def _told(name: str, sentence: str) -> str:
    """The same for what is longer than a line."""
    indent = " " * COLUMN
    whole = textwrap.fill(
        sentence,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{name:<{COLUMN}}{whole[COLUMN:]}"
