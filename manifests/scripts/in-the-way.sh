#!/bin/sh
# Fails if objects of others have the names of ours: in-the-way.sh KUSTOMIZATION.
# KUBECTL: the command, with its options. OURS: the label of our objects. NAMESPACE: where ours would go.
set -eu
objects() { $KUBECTL get --ignore-not-found --no-headers --output='custom-columns=KIND:.kind,NAME:.metadata.name,PART-OF:.metadata.labels.app\.kubernetes\.io/part-of' "$@"; }

there=$(objects --kustomize="$1")
claims=$(objects persistentvolumeclaim data-etcd-0 data-etcd-1 data-etcd-2) # which the overlay does not name
others=$(printf '%s\n' "$there" "$claims" | awk -v ours="${OURS#*=}" 'NF && $3 != ours { printf "%s%s/%s", comma, $1, $2; comma = ", " }')
[ -z "$others" ] || {
	echo "not ours, and in the way in the namespace $NAMESPACE: $others. Delete it, or use another namespace:" \
		"kubectl create namespace hello && kubectl config set-context --current --namespace=hello" >&2
	exit 1
}
