"""What make says where something is missing: one line. Stand-ins for the tools show it what a machine can lack."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from signal import SIGINT

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOOLS = (
    "awk cat chmod cut date dirname echo find git grep head ln make mkdir mktemp rm sed seq sh sleep"
    " sort tail tee test touch tr wc"
)
WORKS = "exit 0"
UP = '{"Name":"minikube","Host":"Running","Kubelet":"Running","APIServer":"Running","Kubeconfig":"Configured"}'
STATUS = f"""case $1 in
status) echo '[{UP},{UP.replace("Running", "Stopped")}]'; exit 2 ;;
profile) echo '* minikube' ;;
esac"""
STOPPED = "echo 'Profile not found'; exit 85"
KUBELET = STATUS.replace('"Kubelet":"Running"', '"Kubelet":"Stopped"')
TAKES = f"echo \"$*\" >>calls\n{STATUS}\ncase $* in 'image ls') cat taken ;; esac"
"""It takes the images that are in the file `taken`, whatever it is told to."""
KUBECTL = """
case $* in
*current-context*) echo minikube ;;
*nodePort*) echo 9 ;;
*InternalIP*) echo 127.0.0.1 ;;
*proxy/count*) echo '{"count": 42, "pods": {}}' ;;
esac
"""
MISSES = f"case $* in *images*) echo '[\"redis:8.2\"]' ;; esac\n{KUBECTL}"
"""Its one node has no image of ours."""
SAVES = "case $1 in save) touch build/image.tar ;; esac"
LEAPS = "echo >>leaps; wc -l <leaps | sed s/$/0/"
"""Ten seconds pass between two questions for the time."""
CLUSTER = {"minikube": STATUS, "kubectl": KUBECTL, "curl": "exit 28", "sleep": WORKS, "date": LEAPS}
TUNNEL = "minikube service hello-world --url"
NOT_FOUND = "echo 'Error from server (NotFound)' >&2; exit 1"


def but(pattern: str, answer: str) -> dict[str, str]:
    """The tools of a cluster whose kubectl answers this to what matches."""
    return CLUSTER | {"kubectl": f"case $* in {pattern}) {answer} ;; esac\n{KUBECTL}"}


def nodes(number: int) -> dict[str, str]:
    """So many nodes, and no class of volumes."""
    return but(f"*get' 'node' '*) seq {number}; exit ;; *storageclass*", "exit 1")


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
        """Run it; its tools are scripts. A question is answered with no."""
        with self.start(*arguments, **tools) as process:
            output, errors = process.communicate("no\n")
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def start(self, *arguments: str, **tools: str) -> subprocess.Popen[str]:
        """Start it, as the leader of its processes."""
        for name, script in tools.items():
            (self.path / name).unlink(missing_ok=True)  # it may be a link to the system's own
            (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.path / name).chmod(0o755)
        others = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        environment = others | {"PATH": str(self.path)}
        return subprocess.Popen(
            ["make", *arguments],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
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
        ("deploy", but("*minify*", "exit 1"), "kubectl has no context 'minikube': minikube update-context"),
        (
            "deploy",
            but("*minify*namespace*) echo gone; exit ;; *get' 'namespace' 'gone", NOT_FOUND),
            "there is no namespace gone: kubectl create namespace gone",
        ),
        ("undeploy", but("*get' 'namespace*", "echo no route to host >&2; exit 1"), "no route to host"),
        ("deploy OVERLAY=none", CLUSTER, "there is no overlay 'none': OVERLAY=minikube or OVERLAY=replicated"),
        ("deploy OVERLAY=minikube", but("*labels.overlay*", "echo replicated"), "the overlay 'replicated' is deployed"),
        (
            "deploy",
            but("*custom-columns*data-etcd-0*", "echo PersistentVolumeClaim data-etcd-0 theirs"),
            "PersistentVolumeClaim/data-etcd-0.",
        ),
        ("deploy", but("*get' 'persistentvolume' '*", "echo ' default/theirs Bound'"), "hello-world-redis is not ours"),
        ("url", but("*nodePort*", "exit 1"), "no Service hello-world: make deploy"),
        ("url", but("*spec.replicas*", "echo 0"), "there are no pods: make scale N=3"),
        ("url URL=http://127.0.0.1:6", CLUSTER, "is its tunnel still open?"),
        ("status", but("*get' 'service*", "exit 1"), "no Service hello-world"),
        (
            "load",
            CLUSTER | {"docker": SAVES, "minikube": f"touch taken; {TAKES}", "kubectl": MISSES},
            "did not take the image",
        ),
        ("scale", CLUSTER, "say how many pods: make scale N=5"),
        ("deploy OVERLAY=replicated", nodes(2), "minikube start --nodes 3"),
        ("deploy OVERLAY=replicated", nodes(3), "minikube addons enable csi-hostpath-driver"),
        ("backup", CLUSTER, "say which file: make backup FILE=count.db"),
        ("backup FILE=count.db", CLUSTER, "make backup and make restore are for etcd"),
        ("restore", CLUSTER, "say which file: make restore FILE=count.db"),
        ("restore FILE=count.db", CLUSTER, "there is no file count.db"),
    ],
)
def test_one_line_says_what_is_missing(make: Make, target: str, tools: dict[str, str], line: str) -> None:
    done = make(*target.split(), **tools)
    (said,) = [line for line in done.stderr.splitlines() if not line.startswith(("make: ***", "make[1]: ***"))]
    assert line in said
    assert done.returncode == 2


def test_an_object_of_somebody_elses_is_neither_changed_nor_deleted(make: Make) -> None:
    theirs = (
        "*custom-columns*--kustomize*) echo Service redis '<none>' ;; *' apply '*|*' delete '*|*' create '*|*' patch '*"
    )
    assert make("deploy", **but(theirs, 'echo "$*" >>changed')).returncode == 2
    changes = (make.directory / "changed").read_text().splitlines()
    assert changes
    assert all("--selector=app.kubernetes.io/part-of=hello-tour" in change for change in changes)
    assert make("undeploy", **but("*' delete '*", 'echo "$*" >>deleted')).returncode == 0
    deletions = (make.directory / "deleted").read_text().splitlines()
    assert deletions
    assert all("--selector=app.kubernetes.io/part-of=hello-world" in deletion for deletion in deletions)


@pytest.mark.parametrize(
    ("cluster", "taken"),
    [
        ("", "minikube"),
        ("*labels.overlay*) echo replicated", "replicated"),
        ("*persistentvolumeclaim*name=etcd*) echo persistentvolumeclaim/data-etcd-0", "replicated"),
        ("*labels.overlay*) echo minikube ;; *persistentvolumeclaim*name=etcd*) echo pvc/data-etcd-0", "minikube"),
    ],
)
def test_the_overlay_that_is_deployed_or_has_left_its_volumes_is_deployed_again(
    make: Make, cluster: str, taken: str
) -> None:
    nodes = "*get' 'node*name) seq 3 ;;"
    make.take()
    kubectl = f"case $* in {nodes} {cluster or 'none)'} ;; esac\n{KUBECTL}"
    done = make("deploy", docker=SAVES, **CLUSTER | {"minikube": TAKES, "kubectl": kubectl})
    assert f"applying manifests/overlays/{taken}" in done.stdout.splitlines()


def test_pods_that_were_scaled_stay_as_many(make: Make) -> None:
    make.take()
    scaled = but("*spec.replicas*", "echo 5")
    done = make("deploy", docker=SAVES, **scaled | {"minikube": TAKES})
    assert "applying manifests/overlays/minikube, with 5 pods as before" in done.stdout.splitlines()
    generated = yaml.safe_load((make.directory / "build/default/minikube/kustomization.yaml").read_text())
    assert generated["replicas"] == [{"name": "hello-world", "count": 5}]


def test_make_uses_minikubes_context_whatever_is_kubectls(make: Make) -> None:
    tools = but("*current-context*", "echo other")
    done = make("status", **tools)
    assert done.stdout.splitlines()[-1] == "42 visitors have been counted."
    assert "kubectl config use-context minikube" in done.stderr
    other = but("--context=minikube*|*current-context*) ;; *", "exit 1")
    assert make("status", **other).returncode == 0


def test_a_pod_that_is_not_ready_yet_is_waited_for(make: Make) -> None:
    ready = "[ -e ready ] || exit"
    serves = "if [ -e asked ]; then touch ready; exit 0; else touch asked; exit 1; fi"
    done = make("url", **but("*proxy/healthz*", serves) | {"curl": f"{ready} 7"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "http://127.0.0.1:9\n", "waiting for a pod\n")


def test_a_node_that_learns_late_that_a_pod_is_ready_needs_no_tunnel(make: Make) -> None:
    refuses_twice = "echo >>refused; [ $(wc -l <refused) -gt 2 ] || exit 7"
    done = make("url", **CLUSTER | {"curl": refuses_twice})
    assert (done.returncode, done.stdout, done.stderr) == (0, "http://127.0.0.1:9\n", "")


def test_a_node_that_cannot_be_reached_is_tried_once_and_never_through_a_proxy(make: Make) -> None:
    curl = """case $* in *"--noproxy * "*) echo tried >&2 ;; esac; exit 28"""
    done = make("url", **CLUSTER | {"curl": curl})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("tried") == 1
    assert TUNNEL in done.stderr


RUNS_JOBS = f"""
case $* in
*create*) echo job.batch/hello-check-abc; exit ;;
*logs*) echo 'Visits lost: 1 of 2'; exit ;;
*delete*) echo "$*" >deleted; exit ;;
*terminated*) echo 1; exit ;;
*phase*) echo Succeeded; exit ;;
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
    options = """OPTIONS=--duration=60 '--report=a|b&c"d\\e.html'""", f"INSIDE={inside}"
    done = make("check", *options, **CLUSTER | {"kubectl": RUNS_JOBS, "curl": curl})
    assert done.stdout == "Visits lost: 1 of 2\n"
    assert done.stderr.splitlines()[-1].endswith("check] Error 1")
    generated = yaml.safe_load((make.directory / "build/default/check/kustomization.yaml").read_text())
    (image, version), _, (arguments,) = (yaml.safe_load(patch["patch"]) for patch in generated["patches"])
    assert (image["value"], version["value"]) == ("hello-counter:1a2b", "1a2b")
    assert arguments["value"] == [
        "check",
        "http://hello-world",
        "--rate=100",
        "--duration=60",
        '--report=a|b&c"d\\e.html',
    ]
    assert "delete job.batch/hello-check-abc" in (make.directory / "deleted").read_text()


@pytest.mark.usefixtures("_installed")
def test_a_check_that_cannot_start_says_why(make: Make) -> None:
    forbidden = "*create*) echo job.batch/hello-check-abc; exit ;; *get' 'event*"
    done = make("check", "INSIDE=1", **but(forbidden, "echo 'exceeded quota'"))
    waits, failed, *_ = done.stderr.splitlines()
    assert waits.startswith("the check is waiting to start: exceeded quota")
    assert failed.startswith("the check did not start: exceeded quota")


@pytest.mark.usefixtures("_installed")
def test_ctrl_c_ends_the_visits_of_a_check_in_the_cluster_and_shows_the_verdict(make: Make) -> None:
    kubectl = f"""
case $* in
*create*) echo job.batch/hello-check-abc; exit ;;
*running*) echo now; exit ;;
*terminated*) [ ! -e ended ] || echo 0; exit ;;
*phase*) echo Running; exit ;;
*exec*kill' '-INT*) touch ended; exit ;;
*logs*) echo 'first line'; if [ -e ended ]; then echo 'Promise kept'; else touch following; exec sleep 60; fi ;;
esac
{KUBECTL}"""
    sleep = shutil.which("sleep")
    with make.start("check", "INSIDE=1", **CLUSTER | {"kubectl": kubectl, "sleep": f'exec {sleep} "$@"'}) as process:
        while not (make.directory / "following").exists():
            time.sleep(0.05)
        os.killpg(process.pid, SIGINT)
        said, errors = process.communicate()
    assert said.splitlines() == ["first line", "Promise kept"]
    assert errors.splitlines()[0] == "ending the visits"


def test_a_tunnels_address_is_taken_instead_of_the_nodes(make: Make) -> None:
    tools = CLUSTER | {"curl": """case $* in *http://127.0.0.1:5) ;; *) exit 28 ;; esac"""}
    assert make("url", "URL=http://127.0.0.1:5", **tools).stdout == "http://127.0.0.1:5\n"


def test_the_status_ends_with_the_count_in_a_sentence_and_names_nodes_that_are_not_ready(make: Make) -> None:
    listed = "*get' 'node' '--no-headers"
    done = make("status", **but(listed, "echo minikube Ready control-plane 5m; echo minikube-m02 NotReady 5m"))
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "The node minikube-m02 is not ready: NotReady.",
            "asking for the count",
            "42 visitors have been counted.",
        ],
    )


def test_where_the_node_cannot_be_reached_make_deploy_goes_on_to_its_end_and_tells_of_the_tunnel(make: Make) -> None:
    make.take()
    done = make("deploy", docker=SAVES, **CLUSTER | {"minikube": TAKES})
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "making",
        "building",
        "loading",
        "applying",
        "waiting",
    ]
    (hint,) = done.stderr.splitlines()
    assert TUNNEL in hint


LOST = '{"error": "Redis: \\\\"no\\\\" connection", "event": "store is lost", "level": "error", "timestamp": "now"}'
UP_AGAIN = '{"event": "store is up", "level": "info", "timestamp": "now"}'


def test_a_rollout_that_does_not_end_is_told_of_with_what_is_wrong(make: Make) -> None:
    kubectl = f"""
case $* in
*rollout*) echo Waiting; echo "error: timed out" >&2; exit 1 ;;
*get' 'node*) echo "minikube True"; echo "minikube-m02 Unknown" ;;
*get' 'persistentvolumeclaim*) echo "redis Pending" ;;
*get' 'pod*) echo "pod-1 True Running <none> <none>"; echo "pod-2 False Pending <none> ErrImageNeverPull"
	echo "pod-3 <none> Pending <none> <none>"; echo "pod-4 False Running <none> <none>" ;;
*get' 'replicaset*) echo "old 0 0"; echo "new 3 1" ;;
*get' 'event*name=redis*) printf "volume already bound to a different claim" ;;
*get' 'event*name=pod-2*) printf "Container image is not present" ;;
*get' 'event*name=pod-3*) printf "unbound claims" ;;
*get' 'event*FailedCreate*name=*) printf "exceeded quota" ;;
*logs' 'pod-1*) echo '{LOST}'; echo '{UP_AGAIN}' ;;
*logs' 'pod-4*) echo '{UP_AGAIN}'; echo '{LOST}' ;;
*) {KUBECTL} ;;
esac
"""
    done = make("wait", **CLUSTER | {"kubectl": kubectl})
    assert done.returncode == 2
    assert done.stderr.splitlines()[:-1] == [
        "error: timed out",
        "node minikube-m02 is not ready",
        "the claim redis is Pending: volume already bound to a different claim",
        "pod-2: ErrImageNeverPull: Container image is not present",
        "pod-3: Pending: unbound claims",
        r"pod-4: not ready: store is lost: Redis: \"no\" connection",
        "new: exceeded quota",
    ]


def test_without_docker_every_node_builds_the_image(make: Make) -> None:
    tag = make.take()
    nodes = MISSES.replace(";;", """; echo '["redis:8.2"]' ;;""", 1)
    done = make("load", **CLUSTER | {"minikube": TAKES, "kubectl": nodes})
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"building hello-counter:{tag}\n"
    assert (make.directory / "calls").read_text().splitlines() == [
        "profile",
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
    done = make("purge", **but("*delete*|*apply*", "echo deleted"))
    assert done.stdout == "This deletes the count in the namespace default for good. Type yes to go on: "
    assert "nothing deleted" in done.stderr
    assert done.returncode == 2


def test_the_scripts_of_a_clone_by_git_for_windows_have_no_carriage_returns() -> None:
    command = ["git", "check-attr", "eol", "manifests/components/redis/start.sh"]
    assert subprocess.check_output(command, cwd=ROOT, text=True).endswith("eol: lf\n")


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
