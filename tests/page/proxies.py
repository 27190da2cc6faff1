"""Real proxies in front of a server: a prefix, and nothing else that is not the default of their packages."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.processes import Hello, free_port, until

# /slash/ is what nginx' manual has; /bare(/…) is what an Ingress' rewrite makes of it, without a slash as well.
NGINX = """
daemon off; pid nginx.pid; error_log stderr;
events {{ }}
http {{
    access_log off; server_tokens off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location /slash/ {{ proxy_pass {url}/; }}
        location ~ ^/bare(/|$) {{ rewrite ^/bare/?(.*)$ /$1 break; proxy_pass {url}; }}
    }}
}}
"""


@asynccontextmanager
async def nginx(server: Hello, directory: Path) -> AsyncIterator[str]:
    """Put nginx before a server; its URL."""
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(port=port, url=server.url))
    async with _running(port, "nginx", "-p", str(directory), "-c", str(configuration), "-e", "stderr") as url:
        yield url


@asynccontextmanager
async def varnish(server: Hello, directory: Path) -> AsyncIterator[str]:
    """Put Varnish before a server; its URL."""
    port = free_port()
    ports = ("-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{server.port}")
    async with _running(port, "varnishd", "-j", "none", "-F", "-n", str(directory), *ports) as url:
        yield url


@asynccontextmanager
async def _running(port: int, name: str, *arguments: str) -> AsyncIterator[str]:
    program = shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/usr/local/bin:/usr/bin")
    assert program, f"{name} is not installed"
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: _listens(port), name)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
