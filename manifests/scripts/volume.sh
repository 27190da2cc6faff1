#!/bin/sh
# Makes Redis' volume if there is none, or empties its directory: volume.sh make, or volume.sh empty.
# KUBECTL: the command, with its options. NAMESPACE: whose volume it is. VOLUME: its name. OURS: the label of our objects.
set -eu
fail() { echo "$*" >&2; exit 1; }
here=$(dirname "$0")
pod=pod/hello-world-redis-directory${VOLUME#hello-world-redis}
in_system() { $KUBECTL --namespace=kube-system "$@"; }

found=$($KUBECTL get persistentvolume "$VOLUME" --ignore-not-found --output='jsonpath={.metadata.labels.app\.kubernetes\.io/part-of} {.spec.claimRef.namespace}/{.spec.claimRef.name} {.status.phase}')
case "$1: $found" in
"make: ${OURS#*=} $NAMESPACE/redis Released") # its claim was deleted, with its namespace perhaps
	echo "taking up the volume $VOLUME"
	exec $KUBECTL patch persistentvolume "$VOLUME" --type=json --patch='[{"op": "remove", "path": "/spec/claimRef/uid"}]'
	;;
"make: ${OURS#*=} $NAMESPACE/redis "*) exit ;;
"make: "?*) fail "the PersistentVolume $VOLUME is not ours, and in the way: $found" ;;
"make: ") echo "making the volume $VOLUME" ;;
"empty: "*) echo "emptying the directory of the volume $VOLUME" ;;
esac

directory=$(sh "$here/kustomization.sh" manifests/overlays/minikube/volume kube-system none <<-EOF
	  - target: {kind: PersistentVolume}
	    patch: |
	      - {op: replace, path: /spec/claimRef/namespace, value: "$NAMESPACE"}
	      - {op: replace, path: /spec/local/path, value: "/data/$VOLUME"}
	  - target: {kind: Pod}
	    patch: |
	      - {op: replace, path: /spec/volumes/0/hostPath/path, value: "/data/$VOLUME"}
	nameSuffix: "${VOLUME#hello-world-redis}"
EOF
)
in_system delete "$pod" --ignore-not-found
trap 'in_system delete "$pod" --wait=false' EXIT
$KUBECTL apply --kustomize="$directory" --selector=app.kubernetes.io/name=redis-directory
in_system wait "$pod" --for=condition=Ready --timeout=5m >/dev/null || { in_system describe "$pod" >&2; exit 1; }
case $1 in
make) $KUBECTL apply --kustomize="$directory" --selector=app.kubernetes.io/name=redis ;;
empty) in_system exec "$pod" -- find /data -mindepth 1 -delete ;;
esac
