"""What make says where something is missing: one line. Stand-ins for the tools show it what a machine can lack."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = "awk cat chmod cut dirname echo find git grep head ln make mkdir rm sed seq sh sleep sort tail test touch tr wc"
WORKS = "exit 0"
UP = '{"Name":"minikube","Host":"Running","Kubelet":"Running","APIServer":"Running","Kubeconfig":"Configured"}'
STATUS = f"case $1 in status) echo '[{UP},{UP.replace('Running', 'Stopped')}]'; exit 2 ;; esac"
STOPPED = "echo 'Profile not found'; exit 85"
KUBELET = STATUS.replace('"Kubelet":"Running"', '"Kubelet":"Stopped"')
TAKES = f"echo \"$*\" >>calls\n{STATUS}\ncase $* in 'image ls') cat taken ;; esac"
"""It takes the images that are in the file `taken`, whatever it is told to."""
KUBECTL = """
case $* in
*--context=second*.server*) echo https://127.0.0.1:2 ;;
*--context=second*provider*) echo minikube.sigs.k8s.io ;;
*--context=second*.name*) echo second ;;
*minify*.name*) echo minikube ;;
*.server*) echo https://127.0.0.1:1 ;;
*nodePort*) echo 9 ;;
*InternalIP*) echo 127.0.0.1 ;;
*endpointslice*) echo 10.0.0.1 ;;
*raw*) echo '{"count": 42, "pods": {}}' ;;
esac
"""
ELSEWHERE = (
    "case $* in *minify*.server*) echo https://other ;; *minify*.name*) echo other ;; *.server*) echo https://1 ;; esac"
)
MISSES = f"case $* in *images*) echo '[\"redis:8.2\"]' ;; esac\n{KUBECTL}"
"""Its one node has no image of ours."""
SAVES = "case $1 in save) touch build/image.tar ;; esac"
CLUSTER = {"minikube": STATUS, "kubectl": KUBECTL, "curl": "exit 28"}
TUNNEL = "minikube service hello-world --url"


def nodes(number: int) -> str:
    """So many nodes, and no class of volumes."""
    return f"case $* in 'get node'*) seq {number} ;; *storageclass*) exit 1 ;; esac\n{KUBECTL}"


class Make:
    """Runs make, in a directory of its own, with no tools but these and what any system has."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "path"
        self.path.mkdir(parents=True)
        shutil.copy(ROOT / "Makefile", directory)
        shutil.copytree(ROOT / "manifests", directory / "manifests")
        for needed in ".dockerignore", "Dockerfile", "LICENSE", "pyproject.toml", "requirements.txt":
            (directory / needed).touch()
        (directory / "hello").mkdir()
        for tool in TOOLS.split():
            (self.path / tool).symlink_to(shutil.which(tool) or tool)

    def __call__(self, *arguments: str, **tools: str) -> subprocess.CompletedProcess[str]:
        """Run it; its tools are scripts."""
        for name, script in tools.items():
            (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.path / name).chmod(0o755)
        others = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        environment = others | {"PATH": str(self.path)}
        command = ["make", *arguments]
        return subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, input="no\n"
        )

    def take(self) -> str:
        """Let minikube have the image; its tag."""
        tag = self("--eval=tag: ; @echo $(TAG)", "tag").stdout.strip()
        names = "".join(f"docker.io/library/hello-counter:{each}\n" for each in (tag, "latest"))
        (self.directory / "taken").write_text(names)
        return tag


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path / "a directory")


@pytest.mark.parametrize(
    ("target", "tools", "line"),
    [
        ("run", {}, "there is no python3: Python 3.11 or later is needed"),
        ("run", {"python3": "[ $1 = --version ] && echo Python 3.9.2 || exit 1"}, "Python 3.9.2 is too old"),
        ("test", {"python3": "case $* in *ensurepip*) exit 1 ;; esac"}, "apt install python3-venv"),
        ("build", {}, "there is no docker: install Docker"),
        ("build", {"docker": "exit 1"}, "Docker does not answer: start it"),
        ("deploy", {}, "there is no minikube: install it"),
        ("deploy", CLUSTER | {"minikube": STOPPED}, "minikube does not run: minikube start"),
        ("deploy", CLUSTER | {"minikube": KUBELET}, "minikube's kubelet does not run: minikube start"),
        ("deploy", CLUSTER | {"kubectl": ELSEWHERE}, "kubectl config use-context minikube, or make … CONTEXT=minikube"),
        ("undeploy", CLUSTER | {"kubectl": ELSEWHERE}, "kubectl's context 'other' is not minikube's"),
        ("url", CLUSTER | {"kubectl": KUBECTL.replace("echo 9", "exit 1")}, "no Service hello-world: make deploy"),
        (
            "status",
            CLUSTER | {"kubectl": f"case $* in get' 'service*) exit 1 ;; esac\n{KUBECTL}"},
            "no Service hello-world",
        ),
        ("url", CLUSTER | {"kubectl": KUBECTL.replace("echo 10.0.0.1", "")}, "no pod is ready: make status"),
        ("url", CLUSTER, TUNNEL),
        (
            "load",
            CLUSTER | {"docker": SAVES, "minikube": f"touch taken; {TAKES}", "kubectl": MISSES},
            "did not take the image",
        ),
        ("scale", CLUSTER, "say how many pods: make scale N=5"),
        ("deploy OVERLAY=replicated", CLUSTER | {"kubectl": nodes(2)}, "minikube start --nodes 3"),
        ("deploy OVERLAY=replicated", CLUSTER | {"kubectl": nodes(3)}, "minikube addons enable csi-hostpath-driver"),
        ("backup", CLUSTER, "say which file: make backup FILE=count.db"),
        ("restore", CLUSTER, "say which file: make restore FILE=count.db"),
        ("restore FILE=count.db", CLUSTER, "there is no file count.db"),
    ],
)
def test_one_line_says_what_is_missing(make: Make, target: str, tools: dict[str, str], line: str) -> None:
    done = make(*target.split(), **tools)
    said, stopped = done.stderr.splitlines()
    assert line in said
    assert stopped.startswith("make: ***")


def test_an_overlay_that_is_not_there_is_told_of_before_anything_is_done(make: Make) -> None:
    done = make("deploy", "OVERLAY=none", **CLUSTER)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "there is no overlay 'none': OVERLAY=minikube or OVERLAY=replicated" in line


def test_another_context_is_taken_when_it_leads_to_minikubes_cluster(make: Make) -> None:
    alias = f"case $* in --context=alias*|'config view --output'*) ;; *) exit 1 ;; esac\n{KUBECTL}"
    tools = CLUSTER | {"curl": WORKS, "kubectl": alias}
    assert make("url", "CONTEXT=alias", **tools).stdout == "http://127.0.0.1:9\n"


def test_the_context_of_another_profile_is_refused_with_what_to_do(make: Make) -> None:
    done = make("url", "CONTEXT=second", **CLUSTER)
    assert done.returncode == 2
    assert "minikube profile second" in done.stderr


def test_a_node_that_cannot_be_reached_is_tried_once_and_never_through_a_proxy(make: Make) -> None:
    curl = """case $* in *"--noproxy * "*) echo tried >&2 ;; esac; exit 28"""
    done = make("url", **CLUSTER | {"curl": curl})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("tried") == 1
    assert TUNNEL in done.stderr


RUNS_JOBS = f"""
case $* in
*create*) cat >job; echo job.batch/hello-check-abc; exit ;;
*logs*) echo 'Visits lost: 1 of 2'; exit ;;
*delete*) echo "$*" >deleted; exit ;;
*terminated*) echo 1; exit ;;
*deployment*) echo hello-counter:1a2b; exit ;;
esac
{KUBECTL}
"""


@pytest.fixture
def _installed(make: Make) -> None:
    """`hello check` tells what it is asked."""
    (make.directory / ".venv/bin").mkdir(parents=True)
    (make.directory / ".venv/bin/python").symlink_to("/bin/sh")
    (make.directory / ".venv/pyvenv.cfg").write_text(f"command = python3 -m venv {make.directory}/.venv\n")
    (make.directory / ".venv/.run").touch()
    hello = make.directory / ".venv/bin/hello"
    hello.write_text('#!/bin/sh\necho "$*"\n')
    hello.chmod(0o755)


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(("curl", "inside"), [("exit 28", ""), (WORKS, "1")])
def test_the_check_runs_as_a_job_where_the_node_cannot_be_reached_or_it_is_told_to(
    make: Make, curl: str, inside: str
) -> None:
    options = "OPTIONS=--duration=60 --allow-lost=1%", f"INSIDE={inside}"
    done = make("check", *options, **CLUSTER | {"kubectl": RUNS_JOBS, "curl": curl})
    assert done.stdout == "Visits lost: 1 of 2\n"
    assert done.stderr.splitlines()[-1].endswith("check] Error 1")
    job = (make.directory / "job").read_text()
    assert "image: hello-counter:1a2b\n" in job
    assert 'args: [check, "http://hello-world", "--duration=60", "--allow-lost=1%"]\n' in job
    assert "delete job.batch/hello-check-abc" in (make.directory / "deleted").read_text()


@pytest.mark.usefixtures("_installed")
def test_the_check_runs_here_where_the_node_can_be_reached(make: Make) -> None:
    done = make("check", "OPTIONS=--duration=60", **CLUSTER | {"curl": WORKS})
    assert (done.returncode, done.stdout) == (0, "check http://127.0.0.1:9 --duration=60\n")


@pytest.mark.usefixtures("_installed")
def test_the_check_says_what_is_missing_before_it_runs_anywhere(make: Make) -> None:
    assert "is its tunnel still open?" in make("check", "URL=http://127.0.0.1:6", **CLUSTER).stderr
    nothing = CLUSTER | {"kubectl": KUBECTL.replace("echo 9", "exit 1")}
    assert "there is no Service hello-world: make deploy" in make("check", **nothing).stderr


def test_a_tunnels_address_is_taken_instead_of_the_nodes(make: Make) -> None:
    tools = CLUSTER | {"curl": """case $* in *http://127.0.0.1:5) ;; *) exit 28 ;; esac"""}
    assert make("url", "URL=http://127.0.0.1:5", **tools).stdout == "http://127.0.0.1:5\n"
    assert "http://127.0.0.1:6 cannot be reached" in make("url", "URL=http://127.0.0.1:6", **tools).stderr


def test_the_count_needs_no_way_to_the_node(make: Make) -> None:
    done = make("status", **CLUSTER)
    assert (done.returncode, done.stdout) == (0, "42\n")


def test_where_the_node_cannot_be_reached_make_deploy_goes_on_to_its_end_and_tells_of_the_tunnel(make: Make) -> None:
    make.take()
    done = make("deploy", docker=SAVES, **CLUSTER | {"minikube": TAKES})
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "building",
        "loading",
        "applying",
        *["waiting"] * 3,
    ]
    (hint,) = done.stderr.splitlines()
    assert TUNNEL in hint


def test_a_rollout_that_does_not_end_is_told_of_with_each_pods_reason(make: Make) -> None:
    kubectl = f"""
case $* in
*rollout*) echo Waiting >&2; echo "error: timed out" >&2; exit 1 ;;
*"get pod"*) echo "pod-1 True Running"; echo "pod-2 False Pending ErrImageNeverPull" ;;
*"get event"*name=pod-2*) printf "Container image is not present" ;;
*) {KUBECTL} ;;
esac
"""
    done = make("wait", **CLUSTER | {"kubectl": kubectl})
    assert done.returncode == 2
    assert done.stderr.splitlines()[:2] == [
        "error: timed out",
        "pod-2: ErrImageNeverPull: Container image is not present",
    ]


def test_without_docker_every_node_builds_the_image(make: Make) -> None:
    tag = make.take()
    nodes = MISSES.replace(";;", """; echo '["redis:8.2"]' ;;""", 1)
    done = make("load", **CLUSTER | {"minikube": TAKES, "kubectl": nodes})
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"building hello-counter:{tag}\n"
    assert (make.directory / "calls").read_text().splitlines() == [
        "status --output=json",
        f"image build --all --tag hello-counter:{tag} .",
        "image build --all --tag hello-counter:latest .",
        "image ls",
    ]


def test_a_text_changes_no_tag(make: Make) -> None:
    tag = make.take()
    for text in "README.md", "hello/README.md":
        (make.directory / text).write_text("a typo")
    assert make.take() == tag
    (make.directory / "hello/code.py").touch()
    assert make.take() != tag


def test_purge_deletes_nothing_without_a_yes(make: Make) -> None:
    touching = "case $* in *delete*|*apply*) echo deleted >&2 ;; *current-context) echo minikube ;; esac"
    done = make("purge", **CLUSTER | {"kubectl": touching})
    assert done.returncode == 2
    assert "deleted" not in done.stderr


def test_help_names_every_target_that_a_person_calls(
    make: Make,
) -> None:
    named = {line.split()[1] for line in make().stdout.splitlines()}
    assert named >= {"run", "test", "build", "deploy", "url", "check", "scale", "undeploy", "purge", "e2e", "clean"}


def test_the_scripts_of_a_clone_by_git_for_windows_run(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", tmp_path, "-c", "core.autocrlf=true", *words], check=True, capture_output=True)

    script = tmp_path / "start.sh"
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    shutil.copy(ROOT / "manifests/components/redis/start.sh", script)
    git("init")
    git("add", ".")
    script.unlink()
    git("checkout-index", "--all", "--force")
    assert b"\r" not in script.read_bytes()


def test_packages_go_into_the_virtual_environment_wherever_pip_is_told_to_put_them(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_USER", "1")
    python = """
case $* in
*venv*--clear*) mkdir -p .venv/bin; ln -s "$0" .venv/bin/python ;;
*pip*install*) echo "$PIP_USER" >>installed ;;
esac
"""
    assert make(".venv/.run", python3=python).returncode == 0
    assert set((make.directory / "installed").read_text().split()) == {"0"}


def test_a_virtual_environment_that_was_moved_or_has_no_python_any_more_is_made_anew(make: Make) -> None:
    python = """
case $* in *venv*--clear*)
    rm -rf .venv
    mkdir -p .venv/bin
    ln -s "$0" .venv/bin/python
    echo "command = python3 -m $* $PWD/.venv" >.venv/pyvenv.cfg
    printf '#!/bin/sh\necho serving\n' >.venv/bin/hello
    chmod +x .venv/bin/hello
esac
"""
    assert make("run", python3=python).stdout == "making .venv\nserving\n"
    assert make("run").stdout == "serving\n"

    make.directory = make.directory.rename(make.directory.with_name("another name"))
    make.path = make.directory / "path"
    assert make("run", python3=python).stdout == "making .venv\nserving\n"
    assert make("run").stdout == "serving\n"

    (make.directory / ".venv/bin/python").unlink()
    (make.directory / ".venv/bin/python").symlink_to("/usr/bin/python-that-was-removed")
    assert make("run").stdout == "making .venv\nserving\n"
