#!/bin/sh
# Applies an overlay: apply.sh OVERLAY IMAGE. It keeps the number of pods. KUBECTL: the command, with its options.
# NAMESPACE: where the objects go. OURS: the label of our objects.
set -eu
here=$(dirname "$0")
pods=$($KUBECTL get deployment hello-world --ignore-not-found --output='jsonpath={.spec.replicas}')
[ "$pods" != 0 ] || pods=
echo "applying manifests/overlays/$1${pods:+, with $pods pods as before}"
kustomization=$(echo "${pods:+replicas: [{name: hello-world, count: $pods\}]}" \
	| sh "$here/kustomization.sh" "manifests/overlays/$1" "$NAMESPACE" "$2")

# The store first: a Redis that restarts beside new pods may be away for longer than visitors wait, and an etcd with only
# one member so far can still be lost with one disk.
$KUBECTL apply --kustomize="$kustomization" --selector=app.kubernetes.io/name!=hello-world
for store in $($KUBECTL get statefulset --selector="$OURS" --output=name); do
	sh "$here/rollout.sh" "$store" 5m
done
$KUBECTL apply --kustomize="$kustomization"
