#!/bin/sh
# Waits for a rollout: rollout.sh deployment/hello-world 2m. One that does not end is told of with each pod's reason.
# KUBECTL: the command, with its options.
set -eu
said=$($KUBECTL rollout status "$1" --timeout="$2" 2>&1) || {
	echo "$said" | tail -n 1 >&2
	sh "$(dirname "$0")/reasons.sh" >&2
	exit 1
}
