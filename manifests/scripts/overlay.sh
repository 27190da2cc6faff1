#!/bin/sh
# Prints which overlay to deploy: overlay.sh [NAME]. The default is the one that is deployed, or whose volumes are left.
# KUBECTL: the command, with its options. OURS: the label of our objects.
set -eu
fail() { echo "$*" >&2; exit 1; }

deployed=$($KUBECTL get deployment --selector="$OURS" --field-selector=metadata.name=hello-world --output='jsonpath={.items[*].metadata.labels.overlay}')
left=$($KUBECTL get persistentvolumeclaim --selector="$OURS,app.kubernetes.io/name=etcd" --output=name)
overlay=${1:-${deployed:-${left:+replicated}}}
overlay=${overlay:-minikube}
[ -d "manifests/overlays/$overlay" ] || fail "there is no overlay '$overlay': OVERLAY=minikube or OVERLAY=replicated"
[ "$overlay" = "${deployed:-$overlay}" ] \
	|| fail "the overlay '$deployed' is deployed, and '$overlay' would begin another count: make undeploy first"
echo "$overlay"
