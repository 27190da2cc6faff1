#!/bin/sh
# Checks that make can use minikube; if not, one line says why. KUBECTL: the command, with its options.
# PROFILE: minikube's, which is also the name of kubectl's context. NAMESPACE: that of the context.
set -eu
fail() { echo "$*" >&2; exit 1; }

for tool in minikube kubectl curl; do command -v "$tool" >/dev/null || fail "there is no $tool: install it"; done

# The exit code reports any stopped node. Only the first node matters here.
status=$(minikube status --output=json 2>/dev/null) || true
case ${status%%\}*} in
*'"Kubelet":"Running","APIServer":"Running"'*) ;;
*'"APIServer":"Running"'*) fail "minikube's kubelet does not run: minikube start" ;;
*) fail "minikube does not run: minikube start" ;;
esac
$KUBECTL config view --minify >/dev/null 2>&1 || fail "kubectl has no context '$PROFILE': minikube update-context"
said=$($KUBECTL get namespace "$NAMESPACE" 2>&1) || case $said in
*NotFound*) fail "there is no namespace $NAMESPACE: kubectl create namespace $NAMESPACE" ;;
*) fail "$said" ;;
esac
[ "$(kubectl config current-context 2>/dev/null)" = "$PROFILE" ] \
	|| echo "make uses the context '$PROFILE', which is not kubectl's current one: kubectl config use-context $PROFILE" >&2
