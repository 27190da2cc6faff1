"""The sockets that a server listens on."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress

BACKLOG = 1024
"""Most connections that the kernel queues for the server."""

Factory = Callable[[], asyncio.Protocol]
"""Makes the protocol of a new connection."""

ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""Errors for an address that this machine does not have."""


class ListenError(Exception):
    """A port cannot be listened on."""


async def close(servers: Iterable[asyncio.Server], listeners: Iterable[socket.socket], port: Factory) -> None:
    """Stop listening, but serve the connections in the accept queue, which a closing listener drops.

    A handshake under way is lost, unless Linux passes it on (`net.ipv4.tcp_migrate_req`).
    """
    loop = asyncio.get_running_loop()
    queues = [listener.dup() for listener in listeners]
    for server in servers:
        server.close()
    await asyncio.sleep(0)
    for connection in [connection for queue in queues for connection in _accept_all(queue)]:
        await loop.connect_accepted_socket(port, connection)


def _accept_all(queue: socket.socket) -> Iterator[socket.socket]:
    queue.setblocking(False)
    with queue, suppress(OSError):
        for _ in range(BACKLOG):
            yield queue.accept()[0]


async def listen(host: str | None, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Listen on all addresses of a host that this machine has; raises ListenError if there is none or one is in use.

    `localhost` resolves to ::1 even on a machine without IPv6. `::` includes every IPv4 address.
    """
    both = host == "::" and socket.has_dualstack_ipv6()
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
            for number, (family, address) in enumerate(addresses, 1):
                try:
                    listener = socket.create_server(
                        address, family=family, backlog=BACKLOG, reuse_port=reuse_port, dualstack_ipv6=both
                    )
                except OSError as error:
                    if error.errno not in ABSENT or (number == len(addresses) and not sockets):
                        raise
                else:
                    sockets.append(stack.enter_context(listener))
        except (OSError, UnicodeError) as error:
            raise ListenError(f"--host {host or '(every address)'}, port {port}: {error}") from error
        stack.pop_all()
        return sockets
