#!/bin/sh
# Runs `hello check` with these options: check.sh OPTION… If the node's port cannot be reached, or INSIDE is set, it runs as a Job in the
# cluster, with the image that runs there. It prints the report and exits with the check's exit code. Ctrl-C ends the visits; the verdict
# follows. KUBECTL: the command, with its options. NAMESPACE: the counter's. OURS: the label of our objects.
set -eu
fail() { echo "$*" >&2; exit 2; }
here=$(dirname "$0")

if [ -z "${INSIDE:-}" ]; then
	reached=0
	url=$(sh "$here/url.sh") || reached=$?
	case $reached in
	0) exec .venv/bin/hello check "$url" --rate=100 "$@" ;;
	3) echo "checking in the cluster instead" >&2 ;;
	*) exit 2 ;;
	esac
fi

image=$($KUBECTL get deployment hello-world --output='jsonpath={.spec.template.spec.containers[0].image}' 2>/dev/null) \
	|| fail "there is no Deployment hello-world: make deploy"
arguments='"check", "http://hello-world", "--rate=100"'
for option; do arguments="$arguments, \"$(printf %s "$option" | sed 's/[\\"]/\\&/g')\""; done
kustomization=$(sh "$here/kustomization.sh" manifests/check "$NAMESPACE" "$image" <<-EOF
	  - target: {kind: Job}
	    patch: |
	      - {op: replace, path: /spec/template/spec/containers/0/args, value: [$arguments]}
	nameSuffix: "-$$"
EOF
)
job=$($KUBECTL create --kustomize="$kustomization" --output=name)
name=${job#*/}
shown=$(mktemp)
trap '$KUBECTL delete "$job" --wait=false >/dev/null; rm -f "$shown"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

of_pod() { $KUBECTL get pod --selector="job-name=$name" --output="jsonpath={.items[*].status.$1}" 2>/dev/null || true; }
event() { $KUBECTL get event --field-selector="type=Warning,involvedObject.name=$1" --output='jsonpath={.items[-1:].message}' 2>/dev/null || true; }
why() {
	pod=$($KUBECTL get pod --selector="job-name=$name" --output='jsonpath={.items[*].metadata.name}')
	echo "$(event "${pod:-$name}") $(of_pod 'containerStatuses[*].state.waiting.message')"
}

began=$(date +%s)
until [ -n "$(of_pod 'containerStatuses[*].state.running.startedAt')$(of_pod 'containerStatuses[*].state.terminated.exitCode')" ]; do
	waited=$(($(date +%s) - began))
	[ $waited -lt 5 ] || [ -n "${said:-}" ] || { said=$(why) && echo "the check is waiting to start: $said" >&2; }
	[ $waited -lt 60 ] || fail "the check did not start: $(why)"
	sleep 1
done

trap 'trap "exit 130" INT; echo "ending the visits" >&2; $KUBECTL exec "$job" -- sh -c "kill -INT 1" 2>/dev/null || true' INT
# The stream of a log may end too early, so it is followed again from where it ended. Once the exit code is known, the log
# is complete.
code='' missed=0
while [ -z "$code" ]; do
	code=$(of_pod 'containerStatuses[*].state.terminated.exitCode')
	[ -n "$(of_pod phase)" ] || missed=$((missed + 1))
	[ $missed -lt 5 ] || fail "the check's pod is gone, and its verdict is not known"
	$KUBECTL logs --follow "$job" 2>/dev/null | awk -v shown="$(wc -l <"$shown")" 'NR > shown { print; fflush() }' | tee -ia "$shown" || true
	[ -n "$code" ] || sleep 1
done
exit "$code"
