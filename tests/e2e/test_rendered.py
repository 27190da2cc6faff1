"""Everything that is rendered: by Kubernetes' schemas, and by kube-score. It needs kubectl and Go, and no cluster."""

import json
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.project.test_manifests import CUSTOM, KUBERNETES
from tests.support.commands import ENVIRONMENT, ROOT, run
from tests.support.linux import require
from tests.without.lines import LINES

KUBE_SCORE = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
EXCEPTIONS = yaml.safe_load((Path(__file__).parent / "kube-score.yaml").read_text())
BEHIND_A_PROXY = "gateway", "gateway/prefix", "ingress", "ingress/prefix"
RENDERED = {
    "cluster": (
        "hello-world",
        "cluster",
        ["network-policies", "autoscaling", "monitoring", "redis-tls", *BEHIND_A_PROXY],
    ),
    "replicated": ("hello-world", "replicated", ["network-policies", "etcd-tls"]),
    "minikube": ("hello-world", "minikube", []),
    "canary": ("hello-canary", "canary", ["canary-alerts"]),
    "nodes": ("hello-canary", "canary", ["canary-nodes"]),
}
"""Overlays with components: the namespace, the overlay, the components."""


def render(name: str, *more: str, **kustomization: str) -> str:
    """Render an overlay of one's own, with more components, and a tag."""
    namespace, overlay, components = RENDERED[name]
    directory = ROOT / "build/rendered" / name
    directory.mkdir(parents=True, exist_ok=True)
    written = {
        "namespace": namespace,
        "resources": [
            f"../../../manifests/overlays/{overlay}",
            *(["../../../manifests/check"] if "network-policies" in components else []),
        ],
        "components": [f"../../../manifests/components/{component}" for component in (*components, *more)],
        "images": [{"name": "hello-counter", "newTag": "1.0.0"}],
        **kustomization,
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(written))
    return run("kubectl", "kustomize", str(directory))


@pytest.fixture(scope="module", params=RENDERED)
def rendered(request: pytest.FixtureRequest) -> str:
    return render(request.param)


def test_what_is_rendered_is_valid_kubernetes(rendered: str) -> None:
    ours = [manifest for manifest in yaml.safe_load_all(rendered) if manifest["kind"] not in CUSTOM]
    for manifest, version in product(ours, KUBERNETES):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("line", LINES)
def test_each_line_can_be_taken_away(line: str) -> None:
    assert render("minikube", f"../without/{line}") != render("minikube")


@pytest.mark.parametrize("name", ["minikube", "replicated", "canary"])
def test_an_overlay_makes_nothing_that_belongs_to_the_whole_cluster_and_bears_its_name(name: str) -> None:
    for manifest in yaml.safe_load_all(run("kubectl", "kustomize", f"manifests/overlays/{name}")):
        assert manifest["kind"] not in {"PersistentVolume", "Namespace", "ClusterRole"}
        assert manifest["metadata"]["labels"]["overlay"] == name


def named(rendered: str, kind: str) -> dict[str, Any]:
    """The objects of a kind, by their names."""
    manifests = yaml.safe_load_all(rendered)
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def test_a_name_prefix_reaches_all_that_names_the_service_and_the_deployment() -> None:
    rendered = render("cluster", namePrefix="my-")
    container = named(rendered, "Deployment")["my-hello-world"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "REDIS", "value": "my-redis"} in container["env"]
    rule, _redirect = named(rendered, "HTTPRoute")["my-hello-world"]["spec"]["rules"]
    assert rule["backendRefs"][0]["name"] == "my-hello-world"
    (path,) = named(rendered, "Ingress")["my-hello-world"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["name"] == "my-hello-world"
    scaled = named(rendered, "HorizontalPodAutoscaler")["my-hello-world"]["spec"]["scaleTargetRef"]
    assert scaled["name"] == "my-hello-world"


@pytest.mark.parametrize("name", ["minikube", "replicated"])
def test_one_component_leaves_the_users_to_the_cluster(name: str) -> None:
    rendered = render(name, "any-user")
    for owner in (*named(rendered, "Deployment").values(), *named(rendered, "StatefulSet").values()):
        security = owner["spec"]["template"]["spec"]["securityContext"]
        assert not security.keys() & {"runAsUser", "runAsGroup", "fsGroup"}


@pytest.fixture(scope="module")
def kube_score() -> str:
    require("go", "version")
    directory = ROOT / "build/go"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "GOBIN", str(directory))
        run("go", "install", KUBE_SCORE)
    return str(directory / "kube-score")


def findings(kube_score: str, rendered: str) -> dict[str, set[str]]:
    """The objects by the check that they fail. kube-score exits 1 if there are any."""
    told = run(
        "sh", "-c", f"{kube_score} score --output-format=json --kubernetes-version=v1.34 - || true", answer=rendered
    )
    found = defaultdict(set)
    for each in json.loads(told):
        for check in each["checks"]:
            if not check["skipped"] and check["grade"] < 10:
                found[check["check"]["id"]].add(f"{each['type_meta']['kind']}/{each['object_meta']['name']}")
    return found


def test_kube_score_finds_nothing_but_what_is_left_so_for_a_reason(kube_score: str) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for name in RENDERED:
        for check, objects in findings(kube_score, render(name)).items():
            found[check] |= objects
    assert all(exception["because"] for exception in EXCEPTIONS.values())
    assert {check: sorted(objects) for check, objects in found.items()} == {
        check: exception["objects"] for check, exception in EXCEPTIONS.items()
    }
