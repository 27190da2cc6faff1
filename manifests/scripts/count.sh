#!/bin/sh
# Prints the total: count.sh SECONDS, for which it tries. It asks through the API server, which needs no tunnel.
# KUBECTL: the command, with its options. NAMESPACE: the counter's.
set -eu
$KUBECTL get service hello-world >/dev/null 2>&1 || { echo "there is no Service hello-world: make deploy" >&2; exit 1; }
began=$(date +%s)
until said=$($KUBECTL get --raw "/api/v1/namespaces/$NAMESPACE/services/hello-world:80/proxy/count" 2>&1); do
	[ $(($(date +%s) - began)) -lt "$1" ] || { echo "the count cannot be read: $said" >&2; sh "$(dirname "$0")/reasons.sh" >&2; exit 1; }
	sleep 1
done
echo "$said" | sed 's/^{"count": \([0-9]*\).*/\1/' # the API server asks for JSON
