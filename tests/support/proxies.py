"""Real proxies in front of a server, with the defaults of their packages."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.linux import require
from tests.support.processes import free_port, until

# It has two addresses of one server, so that it may repeat at the second what failed at the first. /bare(/…) is what an
# Ingress' rewrite makes of a prefix, without a slash as well.
NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/1; proxy_temp_path {directory}/2; fastcgi_temp_path {directory}/3;
    uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
    upstream hello {{ server {address} {options}; server {address} {options}; }}
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""
LOCATIONS = """
location / { proxy_pass http://hello; }
location /buffered/ { proxy_pass http://hello/; proxy_ignore_headers X-Accel-Buffering; }
location ~ ^/bare(/|$) { rewrite ^/bare/?(.*)$ /$1 break; proxy_pass http://hello; }
"""
LIGHTTPD = """
server.document-root = "{directory}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_proxy")
proxy.server = ("/" => (("host" => "127.0.0.1", "port" => {target})))
"""
VARNISH = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{port}"; }}
{more}
"""


@asynccontextmanager
async def nginx(url: str, directory: Path, locations: str = LOCATIONS, options: str = "") -> AsyncIterator[str]:
    """Put nginx before a server, with options of its `server` directive; its URL."""
    require("nginx", "-v")
    port, file = free_port(), directory / "nginx.conf"
    address = url.removeprefix("http://").rstrip("/")
    file.write_text(NGINX.format(directory=directory, port=port, address=address, locations=locations, options=options))
    async with _running(port, "nginx", "-p", str(directory), "-c", str(file), "-e", "stderr") as proxy:
        yield proxy


@asynccontextmanager
async def lighttpd(url: str, directory: Path) -> AsyncIterator[str]:
    """Put lighttpd before a server; its URL. It reads an answer to its end before it passes any of it on."""
    require("lighttpd", "-v")
    port, file = free_port(), directory / "lighttpd.conf"
    file.write_text(LIGHTTPD.format(directory=directory, port=port, target=_port(url)))
    async with _running(port, "lighttpd", "-D", "-f", str(file)) as proxy:
        yield proxy


@asynccontextmanager
async def varnish(url: str, directory: Path, more: str = "") -> AsyncIterator[str]:
    """Put Varnish before a server, with more of its language; its URL."""
    require("varnishd", "-V")
    port, file = free_port(), directory / "hello.vcl"
    file.write_text(VARNISH.format(port=_port(url), more=more))
    names = ("-n", str(directory / "varnish"), "-f", str(file), "-a", f"127.0.0.1:{port}")
    async with _running(port, "varnishd", "-F", "-j", "none", *names, "-s", "malloc,16m") as proxy:
        yield proxy


def _port(url: str) -> str:
    return url.rstrip("/").rpartition(":")[2]


@asynccontextmanager
async def _running(port: int, *command: str) -> AsyncIterator[str]:
    async def listens() -> bool:
        assert process.poll() is None, command
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            await until(listens, command[0])
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
