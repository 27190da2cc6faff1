"""The command line: valid input, and the one line that reports invalid input."""

import asyncio
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from hello import __version__
from hello.cli import main
from hello.stores.sqlite import SqliteStore
from tests.support.client import request
from tests.support.linux import mounted, require
from tests.support.processes import PATIENCE, MakeHello, RedisServer, free_port, until


def run(*arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hello", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={"HELLO_STORE": "memory:"} | os.environ | environment,  # never what this user has counted
    )


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands that fail, in this process: starting another one takes long."""
    monkeypatch.setattr("hello.cli._run", lambda *_: pytest.fail("it serves"))

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        monkeypatch.setattr(sys, "argv", ["hello", *arguments])
        for name, value in {"HELLO_STORE": "memory:", **environment}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), told.out, told.err)

    return run


def complaint(ran: "subprocess.CompletedProcess[str]") -> str:
    """The one line on standard error, apart from logs."""
    (line,) = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("hello: ")
    assert ran.stdout == ""
    return line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--store", "mysql://localhost"),
        ("--store", "sqlite:"),
        ("--store", "memory:x"),
        ("--store", "redis://localhost:99999"),
        ("--store", "redis://[::1"),
        ("--store", "redis://localhost/first"),
        ("--store", "redis://localhost?no_such_option=1"),
        ("--store", "redis://a..b"),
        ("--store", "unix:///run/redis.sock?db=first"),
        ("--store", "unix:///run/redis.sock?db=-1"),
        ("--store", "unix:///run/redis.sock?db="),
        ("--store", "redis://localhost:0"),
        ("--store", "redis://localhost/0#fragment"),
        ("--store", "redis:localhost"),
        ("--store", "redis://"),
        ("--store", "redis://one,two"),
        ("--store", "rediss://hello@localhost?ca=/no/such/file"),
        ("--store", "rediss://localhost?ca=/dev/null"),
        ("--store", "rediss://localhost?key=/dev/null"),
        ("--store", "unix://"),
        ("--store", "unix://run/redis.sock"),
        ("--store", "etcd://"),
        ("--store", "etcd://localhost,"),
        ("--store", "etcd://two words"),
        ("--store", "etcd://localhost/two words"),
        ("--store", "etcd://:secret@localhost"),
        ("--store", "etcds://localhost?ca=a&ca=b"),
        ("--store", "sqlite:~nobody-of-that-name/hello.db"),
        ("--port", "0"),
        ("--port", "http"),
        ("--admin-port", "70000"),
        ("--pod", "Jürgen"),
        ("--pod", "a\r\nSet-Cookie: b"),
        ("--deadline", "0"),
        ("--deadline", "nan"),
        ("--drain", "-1"),
        ("--log", "loud"),
        ("--store-password-file", "/no/such/file"),
        ("--store-password-file", "/"),
        ("--store-password-file", sys.executable),
        ("HELLO_STORE", "tcp://10.96.0.1:80"),
        ("HELLO_PORT", "http"),
        ("HELLO_DEADLINE", "soon"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_option(run_here: Run, option: str, value: str) -> None:
    is_flag = option.startswith("--")
    ran = run_here("serve", option, value) if is_flag else run_here("serve", **{option: value})

    assert option in complaint(ran)
    assert ran.returncode == 2


async def test_the_address_of_a_service_is_not_a_port(hello: MakeHello) -> None:
    links = {f"HELLO_{name}_PORT": f"tcp://10.96.1.2:{free_port()}" for name in ("ADMIN", "REUSE", "STORE")}
    server = await hello("--store", "memory:", **links).start()
    assert (await request(server.url, path="/readyz")).status == 200
    assert await server.stop() == 0

    warnings = [line for line in server.log if not line.startswith("{")]
    assert [line.split("=")[0] for line in warnings] == [
        "hello: ignored HELLO_ADMIN_PORT",
        "hello: ignored HELLO_REUSE_PORT",
    ]
    ran = run("serve", "--host", "192.0.2.1", HELLO_PORT="tcp://10.96.1.2:80")
    assert "port 8080" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["serve", "--no-such-option"],
        ["serve", "--port", "8081", "--admin-port", "8081"],
        ["serve", "--store-password", "a", "--store-password-file", "/dev/null"],
        ["serve", "--store-password", "a", "--store", "redis://:b@localhost"],
        ["serve", "--store-password", "a", "--store", "etcd://localhost"],
        ["serve", "--store-password", "a", "--store", "etcd://hello:b@localhost"],
        ["serve", "--store-password", "a", "--store", "memory:"],
        ["serve", "--store-password", "a", "--store", "sqlite:hello.db"],
        ["serve", "--store-password-file", "/dev/null"],
        ["reset", "--to", "-1"],
        ["reset", "--to", str(2**53)],
    ],
)
def test_a_bad_command_is_one_line(run_here: Run, arguments: list[str]) -> None:
    ran = run_here(*arguments)

    complaint(ran)
    assert ran.returncode == 2


@pytest.mark.parametrize(
    "store",
    [
        "redis://:secret@localhost:99999",
        "valkey://:secret@localhost",
        "redis://:a/secret@localhost:1",
        "redis://hello:a@secret@localhost/x",
        "redis://hello:12?secret@localhost",
        "redis://hello:12#secret@localhost",
        "redis://localhost?password=secret&retry=5",
        "etcd://hello:secret@localhost:99999",
    ],
)
def test_a_password_in_a_bad_url_is_not_shown(run_here: Run, store: str) -> None:
    ran = run_here("serve", "--store", store)

    assert "secret" not in complaint(ran)


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_in_use_is_one_line(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ran = run("serve", "--store", "memory:", "--host", "127.0.0.1", "--port", str(free_port()), option, port)

    assert port in complaint(ran)
    assert ran.returncode == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", "no-such-host.invalid"])
def test_a_foreign_host_is_one_line(host: str) -> None:
    ran = run("serve", "--store", "memory:", "--host", host, "--port", str(free_port()))

    assert host in complaint(ran)
    assert ran.returncode == 1


async def test_localhost_is_served_where_there_is_no_ipv6(hello: MakeHello, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 localhost\n127.0.0.1 localhost\n")
    # netdevice(7): SIOCSIFFLAGS, IFF_UP
    up = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))"
    without = mounted(
        f'mount --bind {hosts} /etc/hosts; echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6; {sys.executable} -c "{up}"',
        "--net",
    )
    asks = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).status)"
    server = hello("--store", "memory:", "--host", "localhost", command=without).launch()

    async def answers() -> bool:
        assert server.process
        assert server.process.poll() is None
        inside = "nsenter", f"--target={server.process.pid}", "--user", "--preserve-credentials", "--net"
        ask = [*inside, sys.executable, "-c", asks, f"{server.url}/healthz"]
        return subprocess.run(ask, capture_output=True, text=True).stdout == "200\n"

    await until(answers, "it serves on 127.0.0.1")


@pytest.mark.parametrize("host", ["", "::"])
async def test_every_address_is_of_both_families(hello: MakeHello, host: str) -> None:
    server = await hello("--store", "memory:", HELLO_HOST=host).start()

    assert (await request(server.url)).status == 200
    assert (await request(f"http://[::1]:{server.port}")).status == 200


@pytest.mark.parametrize("scheme", ["redis", "etcd"])
async def test_a_password_in_a_url_is_not_logged(hello: MakeHello, scheme: str) -> None:
    server = await hello("--store", f"{scheme}://hello:sec:ret@127.0.0.1:{free_port()}").start()
    assert await server.stop() == 0

    assert "***@127.0.0.1" in "".join(server.log)
    assert not {"sec:", "ret"} & set(re.split(r"(sec:|ret)", "".join(server.log)))


def test_a_sqlite_file_may_have_any_name(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        Path(":memory:").touch()
        assert run("reset", "--yes", "--store", "sqlite::memory:").returncode == 0
    assert (tmp_path / ":memory:").stat().st_size


async def test_servers_share_a_port_only_where_they_are_told_to(hello: MakeHello, redis_server: RedisServer) -> None:
    shared = "--store", redis_server.url, "--reuse-port"
    one = await hello(*shared, "--pod", "a").start()
    hello(*shared, "--pod", "b", "--port", str(one.port)).launch()

    async def both_answer() -> bool:
        return len({(await request(one.url)).headers["hello-pod"] for _ in range(20)}) == 2

    await until(both_answer, "both answer")
    alone = run("serve", "--store", "memory:", "--host", "127.0.0.1", "--port", str(one.port))
    assert str(one.port) in complaint(alone)
    assert alone.returncode == 1


def test_the_version_is_told() -> None:
    assert run("--version").stdout.split()[-1] == __version__


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["reset", "--help"], ["check", "--help"]])
def test_the_help_can_be_read_on_any_terminal(arguments: list[str]) -> None:
    ran = run(*arguments, PYTHONIOENCODING="latin-1")

    assert ran.stdout.startswith("Usage:")
    assert ran.stdout.isascii()
    assert (ran.stderr, ran.returncode) == ("", 0)


def test_a_complaint_can_be_read_on_any_terminal() -> None:
    assert "日本" not in complaint(run("serve", "--store", "日本", PYTHONIOENCODING="latin-1"))


def test_without_a_command_the_help_is_shown() -> None:
    ran = run()

    assert ran.stdout == run("--help").stdout
    assert ran.returncode == 2


async def test_flags_take_precedence_over_variables(hello: MakeHello) -> None:
    server = await hello("--pod", "flag", HELLO_STORE="memory:", HELLO_POD="variable", HELLO_VERSION="1.2").start()

    headers = (await request(server.url)).headers
    assert (headers["hello-pod"], headers["hello-version"]) == ("flag", "1.2")


async def test_blanks_and_carriage_returns_around_a_value_are_stripped(hello: MakeHello, tmp_path: Path) -> None:
    values = {"STORE": f"sqlite:{tmp_path}/hello.db \r", "POD": " pod\r\n", "LOG": "Warning\r", "VERSION": " \r"}
    server = await hello("--drain", "0\r", **{f"HELLO_{name}": value for name, value in values.items()}).start()

    headers = (await request(server.url)).headers
    assert headers["hello-pod"] == "pod"
    assert "hello-version" not in headers
    assert await server.stop() == 0
    assert (tmp_path / "hello.db").exists()
    assert server.log == []


def test_no_room_for_a_thread_is_one_line() -> None:
    inject = "strace", "-f", "-o", os.devnull, "-e", "trace=clone,clone3", "-e", "inject=clone,clone3:error=EAGAIN"
    require(*inject, "true")
    serve = [*inject, sys.executable, "-m", "hello", "serve", "--store=memory:", f"--port={free_port()}"]
    ran = subprocess.run(serve, capture_output=True, text=True, timeout=PATIENCE)

    assert "cannot start a thread" in complaint(ran)
    assert ran.returncode == 1


def test_an_incompatible_library_on_pythonpath_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").touch()
    ran = run("serve", PYTHONPATH=str(tmp_path))

    assert "PYTHONPATH" in complaint(ran)
    assert ran.returncode == 1


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store that has counted to 3; `run` finds it in HELLO_STORE."""
    store = SqliteStore(tmp_path / "hello.db")
    await store.reset("before", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELLO_STORE", f"sqlite:{tmp_path / 'hello.db'}")
        yield store
    await store.close()


@pytest.mark.parametrize(("arguments", "to"), [([], 0), (["--to", "41"], 41)])
async def test_reset_begins_a_new_epoch(store: SqliteStore, hello: MakeHello, arguments: list[str], to: int) -> None:
    ran = run("reset", "--yes", *arguments)

    assert ran.returncode == 0
    assert str(to + 1) in ran.stdout
    assert not (await store.read("", 0)).epoch.endswith("before")
    assert await (await hello().start()).visit() == to + 1


async def test_reset_asks_first_and_says_what_there_is(store: SqliteStore) -> None:
    ran = run("reset", "--to", "9", stdin="y\n")

    assert "counted to 3" in ran.stderr
    assert ran.returncode == 0
    assert (await store.read("", 0)).count == 9


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
async def test_reset_without_a_yes_does_nothing(store: SqliteStore, answer: str) -> None:
    before = await store.read("", 0)
    ran = run("reset", stdin=answer)

    assert "nothing was done" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 1
    assert await store.read("", 0) == before


async def test_reset_does_not_show_a_password(redis_server: RedisServer) -> None:
    await redis_server.call("ACL", "SETUSER", "hello", "on", ">secret", "~*", "+@all")
    store = f"redis://hello:secret@127.0.0.1:{redis_server.port}"
    ran = run("reset", "--store", store, stdin="y\n")

    assert ran.returncode == 0, ran.stderr
    assert "secret" not in ran.stderr + ran.stdout


def test_reset_does_not_ask_without_standard_input(tmp_path: Path) -> None:
    command = f'exec "$0" -m hello reset --store sqlite:{tmp_path}/hello.db <&-'
    ran = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, text=True)

    assert "--yes" in complaint(ran)
    assert ran.returncode == 2


@pytest.mark.long
async def test_reset_retries_and_says_if_the_store_does_not_answer(redis_server: RedisServer) -> None:
    redis_server.signal(SIGSTOP)
    ran = await asyncio.to_thread(run, "reset", "--store", redis_server.url, "--yes")
    assert "in time" in complaint(ran)
    assert ran.returncode == 1

    late = asyncio.create_task(asyncio.to_thread(run, "reset", "--store", redis_server.url, "--yes"))
    await asyncio.sleep(2)
    redis_server.signal(SIGCONT)
    assert (await late).returncode == 0


@pytest.mark.parametrize(
    ("store", "words", "status"),
    [
        ("memory:", "memory", 2),
        ("sqlite:/no/such/hello.db", "No such file", 2),
        ("redis://127.0.0.1:1", "Redis: ", 1),
        ("etcd://127.0.0.1:1", "Connection refused", 1),
    ],
)
def test_reset_of_a_missing_store_is_one_line(store: str, words: str, status: int) -> None:
    ran = run("reset", "--store", store, "--yes")

    assert words in complaint(ran)
    assert ran.returncode == status


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost")])
async def test_a_terminal_is_told_the_address_to_open(host: str, address: str) -> None:
    port = free_port()
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "hello", "serve", "--store=memory:", f"--host={host}", f"--port={port}"]
    with subprocess.Popen(command, stderr=terminal) as server:
        os.close(terminal)
        told = b""
        while f"open http://{address}:{port}/".encode() not in told:
            told += await asyncio.to_thread(os.read, ours, 1 << 16)
        server.terminate()
    os.close(ours)
    assert server.returncode == 0
