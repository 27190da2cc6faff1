"""components/gateway and components/ingress: page, stream and `hello check` behind an nginx that does as they say.

It stands for a controller: it treats each route as the Gateway API and the manual of ingress-nginx say.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.check.commands import check
from tests.page.stream import watch
from tests.support.browser import Windows
from tests.support.commands import ROOT, run
from tests.support.linux import require
from tests.support.processes import PATIENCE, Hello
from tests.support.proxies import nginx

pytestmark = pytest.mark.asyncio(loop_scope="session")


def of_gateway(route: dict[str, Any]) -> Iterator[str]:
    """nginx's equivalent of an HTTPRoute."""
    for rule in route["spec"]["rules"]:
        (match,) = rule["matches"]
        (kind, path) = match["path"]["type"], match["path"]["value"]
        (modifier,) = rule.get("filters", [{}])
        if "requestRedirect" in modifier:
            assert kind == "Exact"
            yield f"location = {path} {{ return 302 {modifier['requestRedirect']['path']['replaceFullPath']}; }}"
            continue
        (backend,) = rule["backendRefs"]
        assert (kind, backend) == ("PathPrefix", {"name": "hello-world", "port": 80})
        prefix = modifier["urlRewrite"]["path"]["replacePrefixMatch"] if modifier else ""
        yield f"location {path} {{ proxy_pass http://hello{prefix}; }}"


def of_ingress(ingress: dict[str, Any]) -> Iterator[str]:
    """nginx's equivalent of an Ingress."""
    annotations = {name.partition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"] == {"service": {"name": "hello-world", "port": {"name": "http"}}}
    directives = f"proxy_next_upstream {annotations['proxy-next-upstream']}; proxy_pass http://hello;"
    if "rewrite-target" in annotations:
        assert (annotations["use-regex"], path["pathType"]) == ("true", "ImplementationSpecific")
        rewrite = f'rewrite "(?i){path["path"]}" {annotations["rewrite-target"]} break;'
        yield f'location ~* "^{path["path"]}" {{ {rewrite} {directives} }}'
    else:
        assert path["pathType"] == "Prefix"
        yield f"location {path['path']} {{ {directives} }}"


KINDS = {"gateway": ("HTTPRoute", of_gateway), "ingress": ("Ingress", of_ingress)}


def locations(*components: str) -> str:
    """nginx's equivalent of the routes that these components add to the overlay."""
    require("kubectl", "version", "--client")
    directory = ROOT / "build/routes" / "-".join(components).replace("/", "-")
    directory.mkdir(parents=True, exist_ok=True)
    written = {
        "namespace": "hello-world",
        "resources": ["../../../manifests/overlays/cluster"],
        "components": [f"../../../manifests/components/{component}" for component in components],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(written))
    kind, translate = KINDS[components[0]]
    rendered = yaml.safe_load_all(run("kubectl", "kustomize", str(directory)))
    return "\n".join(line for manifest in rendered if manifest["kind"] == kind for line in translate(manifest))


@pytest.mark.parametrize(
    ("components", "path"),
    [
        (["gateway"], "/"),
        (["gateway", "gateway/prefix"], "/counter/"),
        (["ingress"], "/"),
        (["ingress", "ingress/prefix"], "/counter/"),
    ],
)
async def test_the_page_its_stream_and_a_check_come_through(
    pods: list[Hello], tmp_path: Path, window: Windows, components: list[str], path: str
) -> None:
    async with nginx(pods[0].url, tmp_path, locations(*components)) as url:
        here = await window(url + path)
        await here.counts(await here.number())
        number = await pods[1].visit()
        await here.counts(number)
        async with watch(url + path.rstrip("/")) as stream, asyncio.timeout(PATIENCE):
            while (await stream.next())["count"] < number:
                pass
        outcome = await check(url + path, "--requests=100")
        assert outcome.status == 0, outcome.output
        assert {address.startswith(url + path) for address in here.requested if address.startswith("http")} == {True}


async def test_the_gateway_redirects_to_the_prefix_with_its_slash(pods: list[Hello], tmp_path: Path) -> None:
    async with (
        nginx(pods[0].url, tmp_path, locations("gateway", "gateway/prefix")) as url,
        aiohttp.request("GET", f"{url}/counter", allow_redirects=False) as response,
    ):
        assert response.status == 302
        assert response.headers["Location"].endswith("/counter/")
