#!/bin/sh
# Fails if the counter does not use etcd. KUBECTL: the command, with its options. OURS: the label of our objects.
set -eu
etcd=$($KUBECTL get statefulset --selector="$OURS,app.kubernetes.io/name=etcd" --output=name)
[ -n "$etcd" ] || { echo "make backup and make restore are for etcd, which is not deployed here: make deploy OVERLAY=replicated" >&2; exit 1; }
