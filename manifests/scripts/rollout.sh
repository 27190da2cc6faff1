#!/bin/sh
# Waits for a rollout: rollout.sh deployment/hello-world 2m. If it does not finish, it says why. KUBECTL: the command, with its options.
set -eu
$KUBECTL rollout status "$1" --timeout="$2" || {
	sh "$(dirname "$0")/reasons.sh" >&2
	exit 1
}
