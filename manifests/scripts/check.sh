#!/bin/sh
# Runs `hello check` with these options: check.sh OPTION… Where the node's port cannot be reached, or INSIDE is set, it runs as a Job in
# the cluster, of the image that runs there. Its report is printed, and its exit code is this one's. KUBECTL: the command, with its options.
set -eu
fail() { echo "$*" >&2; exit 2; }
here=$(dirname "$0")

if [ -z "${INSIDE:-}" ]; then
	! said=$(sh "$here/url.sh" 2>&1) || exec .venv/bin/hello check "$said" --rate=100 "$@"
	case $said in
	*"needs a tunnel"*) echo "the node's port cannot be reached from here: checking in the cluster" >&2 ;;
	*) fail "$said" ;;
	esac
fi

image=$($KUBECTL get deployment hello-world --output='jsonpath={.spec.template.spec.containers[0].image}' 2>/dev/null) \
	|| fail "there is no Deployment hello-world: make deploy"
options=
for option; do options="$options, \"$option\""; done
job=$(sed "s|image: hello-counter\$|image: $image|; s|\(args: .*\)]\$|\1$options]|" manifests/check/job.yaml \
	| $KUBECTL create --filename=- --output=name)
trap '$KUBECTL delete "$job" --wait=false >/dev/null' EXIT
trap 'exit 130' INT TERM
of_pod() { $KUBECTL get pod --selector="job-name=${job#*/}" --output="jsonpath={.items[*].status.containerStatuses[*].state.$1}"; }

left=60
until $KUBECTL logs --follow "$job" 2>/dev/null; do
	left=$((left - 1))
	[ "$left" -gt 0 ] || fail "the check did not start: $(of_pod waiting.message)"
	sleep 1
done
until code=$(of_pod terminated.exitCode) && [ -n "$code" ]; do
	left=$((left - 1))
	[ "$left" -gt 0 ] || fail "the check's verdict is not known"
	sleep 1
done
exit "$code"
