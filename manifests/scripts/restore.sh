#!/bin/sh
# Replaces etcd's data with a snapshot: restore.sh FILE. A file that is not a complete snapshot changes nothing.
# KUBECTL: the command, with its options. OURS: the label of our objects.
set -eu
fail() { echo "$*" >&2; exit 1; }
[ -n "$1" ] || fail "say which file: make restore FILE=count.db"
[ -r "$1" ] || fail "there is no file $1"
sh "$(dirname "$0")/has-etcd.sh"
pod=pod/etcd-restore
start() {
	$KUBECTL delete $pod --ignore-not-found >/dev/null
	$KUBECTL scale statefulset/etcd --replicas=3 >/dev/null
	echo "waiting for etcd"
	sh "$(dirname "$0")/rollout.sh" statefulset/etcd 5m
}
until_phase() { until phase=$($KUBECTL get $pod --output='jsonpath={.status.phase}') && echo "$phase" | grep -qE "$1"; do sleep 1; done; }

echo "stopping etcd"
$KUBECTL delete $pod --ignore-not-found >/dev/null
$KUBECTL scale statefulset/etcd --replicas=0 >/dev/null
trap start EXIT
trap 'exit 130' INT TERM
$KUBECTL wait pod --selector=app.kubernetes.io/name=etcd --for=delete --timeout=2m >/dev/null
echo "restoring $1"
sh "$(dirname "$0")/etcd-pod.sh" restore.yaml
$KUBECTL wait $pod --for='jsonpath={.status.initContainerStatuses[0].state.running}' --timeout=2m >/dev/null
$KUBECTL attach $pod --container=snapshot --stdin --quiet <"$1"
until_phase 'Running|Failed'
[ "$phase" = Running ] || fail "$1 is not restored, and nothing has changed: $($KUBECTL logs $pod --container=restore --tail=1)"
# The other members join the first one anew. Their data is deleted before the first has the snapshot: if this ends half-way,
# there is no majority, and it can be done again.
$KUBECTL delete persistentvolumeclaim data-etcd-1 data-etcd-2 --ignore-not-found >/dev/null
$KUBECTL exec $pod --container=replace -- touch /backup/go
until_phase 'Succeeded|Failed'
[ "$phase" = Succeeded ] || fail "$1 is not restored; do it again: $($KUBECTL logs $pod --container=replace --tail=1)"
trap - EXIT
start
echo "restored. Pods that saw a higher number refuse visitors until you say which number was the last:" \
	"kubectl exec deployment/hello-world -- hello reset --yes --to=N"
