#!/bin/sh
# Saves a snapshot of etcd: backup.sh FILE. KUBECTL: the command, with its options. OURS: the label of our objects.
set -eu
fail() { echo "$*" >&2; exit 1; }
[ -n "$1" ] || fail "say which file: make backup FILE=count.db"
sh "$(dirname "$0")/has-etcd.sh"
pod=pod/etcd-backup
echo "saving $1"
$KUBECTL delete $pod --ignore-not-found >/dev/null
sh "$(dirname "$0")/etcd-pod.sh" backup.yaml
trap '$KUBECTL delete $pod --grace-period=1 >/dev/null; rm -f "$1.part"' EXIT
trap 'exit 130' INT TERM
$KUBECTL wait $pod --for=condition=Ready --timeout=2m >/dev/null || fail "no snapshot: $($KUBECTL logs $pod --container=save --tail=1)"
$KUBECTL exec $pod --container=hold -- cat /backup/snapshot.db >"$1.part"
mv "$1.part" "$1"
