#!/bin/sh
# Makes or empties the directory of Redis' volume: volume.sh make-volume NAME. It runs in kube-system, since a namespace of the counter's may
# forbid what reaches into a node. KUBECTL: the command, with its options.
set -eu
pod="pod/$2-$1"
KUBECTL="$KUBECTL --namespace=kube-system"
$KUBECTL delete "$pod" --ignore-not-found >/dev/null
sed "s/hello-world-redis/$2/" "manifests/overlays/minikube/$1.yaml" | $KUBECTL create --filename=- >/dev/null
$KUBECTL wait "$pod" --for=jsonpath='{.status.phase}'=Succeeded --timeout=5m >/dev/null || { $KUBECTL describe "$pod" >&2; exit 1; }
$KUBECTL delete "$pod" >/dev/null
