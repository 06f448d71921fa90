"""Files for clusters: valid by the schemas of those who read them, and about things that exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "deploy" / "ray" / "cluster.yaml"
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def found(node: Any, key: str) -> Iterator[Any]:
    """Values of that key at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from found(each, key)


def test_the_cluster_file_is_valid_by_rays_own_schema() -> None:
    spec = find_spec("ray")
    if spec is None or spec.origin is None:
        pytest.skip("the extra ray is not installed")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    cluster = documents(CLUSTER)[0]
    jsonschema.validate(cluster, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "worker": {}}, schema)


def test_every_machine_and_disk_of_the_cluster_has_the_tag_that_a_sweep_looks_for() -> None:
    cluster = documents(CLUSTER)[0]
    kinds = cluster["available_node_types"]
    for name, kind in kinds.items():
        tags = {
            each["ResourceType"]: each["Tags"] for each in kind["node_config"]["TagSpecifications"]
        }
        wanted = [{"Key": "kennel:deployment", "Value": "kennel"}]
        assert tags == {"instance": wanted, "volume": wanted}, name
        spot = kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        assert spot == (name != cluster["head_node_type"]), name
    assert kinds["head"]["resources"] == {"CPU": 0}
    assert cluster["provider"]["cache_stopped_nodes"] is False


def test_the_versions_of_ray_in_files_are_the_one_that_is_installed() -> None:
    if find_spec("ray") is None:
        pytest.skip("the extra ray is not installed")
    (asked,) = found(documents(ROOT / "deploy" / "kubernetes" / "ray.yaml"), "rayVersion")
    assert asked == version("ray")
    assert f"ray[default]=={version('ray')}" in CLUSTER.read_text("utf-8")


def test_what_the_study_on_kubernetes_is_told_are_settings_that_exist() -> None:
    from kennel.learn.configure import CONFIGS

    (entry,) = found(documents(ROOT / "deploy" / "kubernetes" / "ray.yaml"), "entrypoint")
    known = yaml.safe_load((CONFIGS / "tune" / "default.yaml").read_text("utf-8"))
    told = [word.partition("=")[0] for word in entry.replace("'", "").split() if "tune." in word]
    assert told
    assert {word.removeprefix("tune.") for word in told} <= set(known)


def test_the_service_asks_paths_that_the_server_has() -> None:
    runtime, service = documents(ROOT / "deploy" / "kubernetes" / "serve.yaml")
    counter = "".join(
        path.read_text("utf-8") for path in sorted((ROOT / "src" / "kennel" / "serve").glob("*.py"))
    )
    for probe in found(runtime, "httpGet"):
        assert f'"{probe["path"]}"' in counter
        assert probe["port"] == 8080
    from kennel.serve.v2 import NAME

    assert service["metadata"]["name"] == NAME  # KServe asks for the model by the service's name
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
    assert (
        service["spec"]["predictor"]["model"]["protocolVersion"]
        in runtime["spec"]["protocolVersions"]
    )


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_pods_of_manifests_are_valid_by_kubernetes_own_schema(path: Path) -> None:
    """Where kubernetes-validate is installed: pip install --group kubernetes."""
    validating = pytest.importorskip("kubernetes_validate")
    pods = [
        *(template["spec"] for template in found(documents(path), "template")),
        *(
            {key: each["spec"][key] for key in ("containers", "volumes")}
            for each in documents(path)
            if each["kind"] == "ServingRuntime"
        ),
    ]
    assert pods
    for pod in pods:
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
        validating.validate(whole, "1.37", strict=True)
