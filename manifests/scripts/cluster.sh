#!/bin/sh
# Says in one line what keeps make from minikube, if anything does. KUBECTL: the command, with its options.
set -eu
fail() { echo "$*" >&2; exit 1; }

for tool in minikube kubectl curl; do command -v "$tool" >/dev/null || fail "there is no $tool: install it"; done

# One question, for it takes seconds. The exit code tells of whatever is stopped, other nodes included: only the first node counts.
status=$(minikube status --output=json 2>/dev/null) || true
status=${status%%\}*}
case $status in
*'"Kubelet":"Running","APIServer":"Running"'*) ;;
*'"APIServer":"Running"'*) fail "minikube's kubelet does not run: minikube start" ;;
*) fail "minikube does not run: minikube start" ;;
esac
profile=${status#*'"Name":"'}
profile=${profile%%\"*}

# A context is the profile's if it leads to the profile's API server, whatever its name: minikube names the cluster after the profile.
context=$($KUBECTL config view --minify --output='jsonpath={.contexts[0].name}' 2>/dev/null) || fail "kubectl has no such context: $KUBECTL config get-contexts"
provider=$($KUBECTL config view --minify --output='jsonpath={.contexts[0].context.extensions[*].extension.provider}')
used=$($KUBECTL config view --minify --output='jsonpath={.clusters[0].cluster.server}')
meant=$(kubectl config view --output="jsonpath={.clusters[?(@.name==\"$profile\")].cluster.server}")
[ -n "$meant" ] || fail "kubectl knows no cluster '$profile': minikube update-context"
[ "$used" = "$meant" ] || case $provider in
*minikube*) fail "kubectl's context is '$context', minikube's profile is '$profile': minikube profile $context, or make … CONTEXT=$profile" ;;
*) fail "kubectl's context '$context' is not minikube's: kubectl config use-context $profile, or make … CONTEXT=$profile" ;;
esac
