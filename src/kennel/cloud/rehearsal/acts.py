"""The play, act by act. Each says in a sentence what it saw, or raises what was wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kennel.cloud import CloudError, deploying, destroying, going_back, runner, sweeping
from kennel.cloud import status as standing
from kennel.cloud.cost import cost_of
from kennel.cloud.cost.measured import shipped
from kennel.cloud.deployed import Deployed
from kennel.cloud.function import Check
from kennel.cloud.limit import set_limit
from kennel.cloud.machine import Wish, living
from kennel.cloud.offers import kinds_named, subnets_named
from kennel.cloud.rehearsal.events import Reply
from kennel.cloud.rehearsal.runtime import MOST_BYTES
from kennel.cloud.rehearsal.stage import SENT, Stage, policy_of
from kennel.cloud.renting import rent_any

FIX = "this is a fault of Kennel's or of the templates: see what it says, and the step's name"
SHORT_S = 1.0  # the function's time, where a request has to run out of it
AT_ONCE = 2  # requests, where one has to be too many
COLD = 3  # starts that are timed
MACHINE = "kennel-rehearsal-1"


class _Cut(BaseException):
    """The command dies here: not an error that anything could handle."""


def expect(right: bool, words: str) -> None:
    """Raises CloudError with those words where it is not so."""
    if not right:
        raise CloudError(f"{words.rstrip('.')}.", fix=FIX)


# ---- price, and what is played


def price(stage: Stage) -> str:
    cost = cost_of(stage.deployment, shipped())
    million = f"; a million photos {cost.answers[0].per_million:.2f} $" if cost.answers else ""
    return f"{cost.idle.usd:.2f} $ a month idle{million}"


def types(stage: Stage) -> str:
    """Which types of CloudFormation are played, and by whom; one that nobody plays ends it."""
    found = played_types(stage)
    nobody = [name for name, who in found.items() if who == "nobody"]
    expect(not nobody, f"nobody plays {', '.join(nobody)}")
    ours = sum(who == "ours" for who in found.values())
    return f"{len(found)} types of CloudFormation: {ours} by ours, {len(found) - ours} by moto"


def played_types(stage: Stage) -> dict[str, str]:
    """Type -> "ours", "moto" or "nobody"."""
    found = sorted({kind for each in stage.deployment.stacks for kind in each.resources.values()})
    ours, moto = stage.emulator.ours, stage.emulator.moto
    return {
        each: "ours" if each in ours else "moto" if each in moto else "nobody" for each in found
    }


# ---- the way there


def cut_short(stage: Stage) -> str:
    """A deployment that dies in the middle of its second stack."""
    second = stage.deployment.stacks[1].name

    def die(words: str) -> None:
        if words.startswith(f"{second}: ") and "changes" not in words:
            raise _Cut

    try:
        _deploy(stage, 0, say=die, checked=False)
    except _Cut:
        return f"killed while {second} was made"
    raise CloudError(f"{second} was made without a word", fix=FIX)


def deploy(stage: Stage) -> str:
    done = _deploy(stage, 0)
    expect(done.checked, "the function was not asked")
    before = done.done
    again = _deploy(stage, 0)
    expect(not again.done, f"deployed again, it changed {', '.join(again.done)}")
    stage.kept["outputs"] = done.outputs
    went_on = f"went on with {len(before)} of {len(stage.deployment.stacks)} stacks"
    return f"{went_on}, version {done.version} answers as the bundle does; again: nothing to do"


def _deploy(
    stage: Stage, which: int, *, say: Callable[[str], None] = lambda _: None, checked: bool = True
) -> Deployed:
    image, check = stage.images[which], _check(stage, which) if checked else None
    with stage.acting("deploy"):
        planned = deploying.plan(stage.deployment, image=image, say=say, sleep=stage.sleep)
        return deploying.deploy(planned, check=check, say=say, sleep=stage.sleep)


def _check(stage: Stage, which: int) -> Check:
    bundle = stage.bundles[which]
    for photo, said in zip(stage.photos, stage.predicted(bundle), strict=True):
        if photo.suffix == ".jpg" and "label" in said:
            return Check(photo.read_bytes(), said["label"], said["probability"], bundle.bundle_id)
    raise CloudError("no photo could be answered.", fix="see the bundle: kennel verify")


def state(stage: Stage) -> str:
    with stage.acting("deploy"):
        found = standing.status(stage.deployment)
    expect(found.serving is not None, "status says that nothing serves")
    expect(all(each.ours for each in found.stacks), "status misses a stack")
    return f"{len(found.stacks)} stacks stand, and are ours"


# ---- data


def data(stage: Stage) -> str:
    """Photos go to the bucket with DVC, are lost here, and come back."""
    project = stage.folder / "project"
    (project / ".dvc").mkdir(parents=True)
    remote = stage.kept["outputs"].get("DataUri") or f"s3://{stage.kept['outputs']['DataBucket']}"
    (project / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    remote = store\n    analytics = false\n"
        f"['remote \"store\"']\n    url = {remote}\n"
        f"    endpointurl = {stage.emulator.address}\n",
        encoding="utf-8",
    )
    photos = project / "photos"
    photos.mkdir()
    for each in stage.photos:
        shutil.copy(each, photos / each.name)
    before = _digests(photos)
    for words in (["add", "photos"], ["push"]):
        stage.run(["dvc", *words], role="data", where=project)
    shutil.rmtree(photos)
    shutil.rmtree(project / ".dvc" / "cache")
    stage.run(["dvc", "pull"], role="data", where=project)
    after = _digests(photos)
    expect(after == before, f"{len(before)} photos went, and what came back differs")
    size = sum(path.stat().st_size for path in photos.iterdir())
    return f"{len(before)} photos, {size / 1e6:.1f} MB, there and back by DVC: the same bytes"


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def registry(stage: Stage) -> str:
    """The bundle becomes champion of the registry in the bucket, and comes back whole."""
    address, bundle = stage.kept["outputs"]["RegistryUri"], stage.bundles[0]
    came = stage.folder / "champion"
    common = ["--registry", address]
    reason = ["--force", "--reason", "a rehearsal measures nothing"]
    words = ["kennel", "promote", str(bundle.path.resolve()), *common, *reason, "--json"]
    promoted = json.loads(stage.run(words, role="data", where=stage.folder))
    expect(promoted["promoted"], "the registry took no bundle")
    words = ["kennel", "promote", "--champion", "--to", str(came), *common]
    stage.run(words, role="data", where=stage.folder)
    expect(_digests_below(came) == _digests_below(bundle.path), "another bundle came back")
    stage.run(["kennel", "promote", "--verify", *common], role="data", where=stage.folder)
    return f"{bundle.bundle_id} is champion in {address}, and came back whole"


def _digests_below(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    listed = {"bundle.json", *json.loads((folder / "bundle.json").read_text("utf-8"))["files"]}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if str(path.relative_to(folder)) in listed
    }


# ---- what it answers


def answers(stage: Stage) -> str:
    """Every photo through the function, beside `kennel predict`: the same to the last bit."""
    compared = same_answers(stage, 0)
    page = stage.ask("GET", "/")
    expect(page.status == 200, f"the page answers {page.status}")
    kind = page.headers.get("content-type", "")
    expect(kind.startswith("text/html"), f"the page is {kind or 'of no type'}")
    return f"{compared} photos: the same bits as kennel predict; the page is there"


def same_answers(stage: Stage, which: int) -> int:
    compared = 0
    for photo, expected in zip(stage.photos, stage.predicted(stage.bundles[which]), strict=True):
        said = stage.ask("POST", "/predict", photo.read_bytes(), kind=SENT[photo.suffix])
        expect(said.status == 200, f"{photo.name}: {said.status} {_start(said)}")
        answer = json.loads(said.body)
        for name in ("label", "probability", "known", "bundle"):
            expect(
                answer[name] == expected[name],
                f"{photo.name}: {name} is {answer[name]}, and kennel predict says {expected[name]}",
            )
        compared += 1
    return compared


def _start(said: Reply) -> str:
    return said.body[:200].decode(errors="replace")


def permissions(stage: Stage) -> str:
    """Who may come in: with both rights, signed, and nobody else."""
    for words, role in (("nobody", None), ("who has no right", "data")):
        said = stage.ask("GET", "/live", role=role)
        expect(said.status == 403, f"{words} is answered {said.status}")
    iam, whole = (
        stage.emulator.client("iam"),
        policy_of("caller", stage.deployment, stage.emulator.function),
    )
    for one in whole["Statement"][0]["Action"]:
        half = {**whole, "Statement": [{**whole["Statement"][0], "Action": [one]}]}
        iam.put_user_policy(UserName="caller", PolicyName="own", PolicyDocument=json.dumps(half))
        said = stage.ask("GET", "/live")
        expect(said.status == 403, f"with {one} alone it answers {said.status}")
    iam.put_user_policy(UserName="caller", PolicyName="own", PolicyDocument=json.dumps(whole))
    key = next(key for key, user in stage.emulator.users.items() if user == "caller")
    kept, stage.emulator.keys[key] = stage.emulator.keys[key], "another"
    wrong = None
    try:
        # Signed with the right secret; the door is told of another one.
        stage.emulator.keys[key] = kept
        wrong = _tampered(stage)
    finally:
        stage.emulator.keys[key] = kept
    expect(wrong.status == 403, f"a request that was changed on its way is answered {wrong.status}")
    expect(stage.ask("GET", "/live").status == 200, "with both rights it does not answer")
    return "unsigned, changed on its way, with one right of two: 403; with both: answered"


def _tampered(stage: Stage) -> Reply:
    """A request with the signature of another body."""
    import http.client
    from urllib.parse import urlsplit

    signed = stage._signed("POST", "/predict", b"one", {"Content-Type": "image/jpeg"}, "caller")
    url = urlsplit(stage.door.address)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    try:
        connection.request("POST", "/predict", b"two", signed)
        got = connection.getresponse()
        return Reply(got.status, {}, got.read())
    finally:
        connection.close()


def uploads(stage: Stage) -> str:
    """What must be refused is, each with its own status, and the next photo is answered."""
    jpeg = next(each for each in stage.photos if each.suffix == ".jpg").read_bytes()
    cases = (
        ("no photo", b"", "image/jpeg", {400}),
        ("text", b"not a photo", "text/plain", {415}),
        ("half a photo", jpeg[: len(jpeg) // 3], "image/jpeg", {422}),
        ("144 megapixels in a few bytes", _bomb(12_000), "image/png", {413}),
        ("noise", bytes(range(256)) * 40, "image/jpeg", {415, 422}),
        ("7 MB", b"\xff\xd8" + bytes(7_000_000), "image/jpeg", {413}),
    )
    for words, body, kind, expected in cases:
        said = stage.ask("POST", "/predict", body, kind=kind)
        expect(said.status in expected, f"{words} is answered {said.status} {_start(said)}")
    largest = int(MOST_BYTES * 3 / 4) - 4096
    said = stage.ask("POST", "/predict", jpeg + bytes(largest - len(jpeg)), kind="image/jpeg")
    expect(said.status == 200, f"{largest / 1e6:.2f} MB are answered {said.status} {_start(said)}")
    expect(stage.ask("GET", "/ready").status == 200, "it is not ready after them")
    return f"{len(cases)} uploads refused in the 4xx; {largest / 1e6:.1f} MB taken, 7 MB are not"


def _bomb(side: int) -> bytes:
    """A black picture of side x side pixels, in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = b"\0" + bytes((side + 7) // 8)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(row * side, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@contextmanager
def shortened(stage: Stage) -> Iterator[None]:
    """A function that hangs, with a second to answer and two requests at once."""
    aws, name = stage.emulator.client("lambda"), stage.emulator.function
    before = aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    whole = stage.emulator.url

    def short() -> Any:
        url = whole()
        if url is None:
            return None
        return replace(url, configuration=replace(url.configuration, timeout_s=SHORT_S))

    stage.function.rest()
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=AT_ONCE)
    stage.emulator.url, stage.function.stalled = short, True  # type: ignore[method-assign]
    try:
        yield
    finally:
        stage.emulator.url, stage.function.stalled = whole, False  # type: ignore[method-assign]
        if before is None:
            aws.delete_function_concurrency(FunctionName=name)
        else:
            aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=before)


def hanging(stage: Stage) -> str:
    """Requests that find no answer in time, and one too many at once."""
    with shortened(stage), ThreadPoolExecutor(AT_ONCE + 1) as pool:
        every = [pool.submit(stage.ask, "GET", "/live") for _ in range(AT_ONCE + 1)]
        found = sorted(each.result().status for each in every)
    expect(found == [429, *[502] * AT_ONCE], f"{AT_ONCE + 1} at once are answered {found}")
    expect(stage.ask("GET", "/live").status == 200, "it does not answer after that")
    return f"hangs: 502 after its time (shortened to {SHORT_S:g} s); one over the concurrency: 429"


def cold(stage: Stage) -> str:
    """Starts of a sandbox, from the request to its answer."""
    jpeg = next(each for each in stage.photos if each.suffix == ".jpg").read_bytes()
    took = []
    for _ in range(COLD):
        stage.function.rest()
        began = time.monotonic()
        said = stage.ask("POST", "/predict", jpeg, kind="image/jpeg")
        took.append(time.monotonic() - began)
        expect(said.status == 200, f"a cold start is answered {said.status}")
    began = time.monotonic()
    stage.ask("POST", "/predict", jpeg, kind="image/jpeg")
    warm = time.monotonic() - began
    stage.kept["cold_s"], stage.kept["warm_s"] = [round(each, 3) for each in took], round(warm, 4)
    return f"median of {COLD} cold {statistics.median(took):.2f} s, warm {warm * 1000:.0f} ms"


# ---- another bundle, and back


def second(stage: Stage) -> str:
    done = _deploy(stage, 1)
    expect(done.digest == stage.images[1].digest, "another image answers than was deployed")
    expect(done.checked, "the function was not asked")
    same_answers(stage, 1)
    what = "another bundle" if stage.bundles[0] != stage.bundles[1] else "another image of it"
    return f"{what} as version {done.version}: answers as kennel predict does"


def back(stage: Stage) -> str:
    with stage.acting("deploy"):
        done = going_back.roll_back(stage.deployment, sleep=stage.sleep)
    expect(done.digest == stage.images[0].digest, "the image before does not answer")
    same_answers(stage, 0)
    return f"{done.bundle or stage.bundles[0].bundle_id} answers again, as version {done.version}"


# ---- a machine


def machine(stage: Stage) -> str:
    """Rented by the launch template, its limit before it; ended, and its limit with it."""
    told = stage.kept["outputs"]
    if "LaunchTemplateId" not in told:
        return "left out: this deployment rents none"
    until = datetime.now(UTC) + timedelta(hours=1)
    wish = Wish(
        MACHINE,
        told["LaunchTemplateId"],
        kinds_named(told["InstanceTypes"]),
        "spot-first",
        1.0,
        told["EnderRoleArn"],
        "",
        "",
        subnets=subnets_named(told["SubnetIds"]),
        deployment=stage.deployment.name,
    )
    with stage.acting("runner"):
        set_limit(MACHINE, until=until, role=wish.ender)
        found = rent_any(
            wish, b"#!/bin/sh\n", until, secret=MACHINE, sleep=stage.sleep, say=lambda _: None
        )
        expect(
            [each["InstanceId"] for each in living(MACHINE)] == [found.instance_id], "no machine"
        )
        ended = runner.stop(MACHINE)
        expect(len(ended) == 1 and not living(MACHINE), "the machine was not ended")
        expect(not runner.stop(MACHINE), "stopped again, it found another machine")
    schedules = stage.emulator.client("scheduler").list_schedules()["Schedules"]
    expect(not schedules, f"{len(schedules)} limits stay")
    return f"{found.offer}: rented, ended, its limit gone; GitHub was not asked"


# ---- the end


def destroy(stage: Stage) -> str:
    """All stacks; what holds data only when it is said."""
    stage.function.rest()  # what a sandbox says after this would make its log anew
    with stage.acting("deploy"):
        planned = destroying.removal(stage.deployment, sleep=stage.sleep)
        kept = destroying.destroy(planned, sleep=stage.sleep)
        expect(bool(kept.kept), "it removed a bucket with data in it, and nobody said so")
        planned = destroying.removal(stage.deployment, sleep=stage.sleep)
        gone = destroying.destroy(planned, with_data=True, sleep=stage.sleep)
    expect(not gone.kept, f"{', '.join(gone.kept)} stay")
    return f"{len(kept.gone)} stacks; {len(kept.kept)} kept for its data until --with-data said so"


def sweep(stage: Stage) -> str:
    """A log group that Lambda made anew is planted. It goes, and then nothing is left."""
    logs = stage.emulator.client("logs")
    logs.create_log_group(logGroupName=f"/aws/lambda/{stage.emulator.function}")
    with stage.acting("deploy"):
        found = sweeping.leftovers(stage.deployment)
        expect(any("LogGroup" in each.kind for each in found), "the planted log group is not seen")
        sweeping.sweep(found, sleep=stage.sleep)
        left = sweeping.leftovers(stage.deployment)
    stage.kept["left"] = [f"{each.kind} {each.name}" for each in left]
    still = [each for each in left if not each.going]
    expect(not still, f"left: {', '.join(f'{each.kind} {each.name}' for each in still)}")
    words = ["kennel", "cloud", "sweep", "--verify", "--templates", str(stage.templates)]
    stage.run(words, role="deploy", where=stage.folder)  # and the verb itself ends with 0
    going = f", {len(left)} goes by itself: {left[0].kind}" if left else ""
    return f"{len(found)} found and removed; nothing is left{going}"


ACTS: tuple[tuple[str, Callable[[Stage], str]], ...] = (
    ("price", price),
    ("types", types),
    ("cut", cut_short),
    ("deploy", deploy),
    ("status", state),
    ("data", data),
    ("registry", registry),
    ("answers", answers),
    ("permissions", permissions),
    ("uploads", uploads),
    ("limits", hanging),
    ("cold start", cold),
    ("second", second),
    ("roll back", back),
    ("machine", machine),
    ("destroy", destroy),
    ("sweep", sweep),
)
