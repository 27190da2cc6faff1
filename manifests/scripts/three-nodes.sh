#!/bin/sh
# Checks that there are three nodes, and volumes for them; if not, one line says what is missing. KUBECTL: the command, with its options.
set -eu
fail() { echo "$*" >&2; exit 1; }

nodes=$($KUBECTL get node --output=name | wc -l)
[ "$nodes" -ge 3 ] || fail "three nodes are needed, but there are $((nodes)): minikube delete, minikube start --nodes 3"
$KUBECTL get storageclass csi-hostpath-sc >/dev/null 2>&1 \
	|| fail "there is no StorageClass csi-hostpath-sc: minikube addons enable volumesnapshots, minikube addons enable csi-hostpath-driver"
