#!/bin/sh
# Creates the pod of a file beside etcd's; it speaks TLS if etcd does: etcd-pod.sh FILE. KUBECTL: the command, with its options.
set -eu
tls=$($KUBECTL get statefulset/etcd --output='jsonpath={.spec.template.spec.initContainers[*].env[?(@.name=="TLS")].name}')
sed "${tls:+s,http://,https://,g}" "manifests/components/etcd/$1" | $KUBECTL create --filename=- >/dev/null
