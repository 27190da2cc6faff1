#!/bin/sh
# Runs `hello check` as a Job in the cluster: check.sh TAG OPTION… Its report is printed, and its exit code is this one's.
# KUBECTL: the command, with its options.
set -eu
fail() { echo "$*" >&2; exit 2; }

tag=$1
shift
options=
for option; do options="$options, \"$option\""; done
job=$(sed "s|image: hello-counter\$|&:$tag|; s|\(args: .*\)]\$|\1$options]|" manifests/check/job.yaml | $KUBECTL create --filename=- --output=name)
trap '$KUBECTL delete "$job" --wait=false >/dev/null' EXIT

left=60
until $KUBECTL logs --follow "$job" 2>/dev/null; do
	left=$((left - 1))
	[ "$left" -gt 0 ] || fail "the check did not start: $($KUBECTL get pod --selector="job-name=${job#*/}" \
		--output='jsonpath={.items[*].status.containerStatuses[*].state.waiting.message}')"
	sleep 1
done

code=
while [ -z "$code" ]; do
	[ "$left" -gt 0 ] || fail "the check's verdict is not known"
	code=$($KUBECTL get pod --selector="job-name=${job#*/}" \
		--output='jsonpath={.items[*].status.containerStatuses[*].state.terminated.exitCode}')
	left=$((left - 1))
	[ -n "$code" ] || sleep 1
done
exit "$code"
