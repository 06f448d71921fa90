"""What is kept in the bucket: photos by DVC, bundles by the registry."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from kennel.cloud.rehearsal.expected import expect
from kennel.cloud.rehearsal.stage import Stage


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
