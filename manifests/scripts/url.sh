#!/bin/sh
# Prints the counter's URL, or says why there is none. KUBECTL: the command, with its options. URL: a tunnel's address, if there is one.
set -eu
fail() { echo "$*" >&2; exit 1; }

url=${URL:-}
[ -n "$url" ] || {
	port=$($KUBECTL get service hello-world --output='jsonpath={.spec.ports[0].nodePort}' 2>/dev/null) \
		|| fail "there is no Service hello-world: make deploy"
	address=$($KUBECTL get node --selector=minikube.k8s.io/primary=true \
		--output='jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
	url=http://${address%% *}:$port
}

# A HEAD is not a visit. A refusal (7) is asked once more: a node may learn a second later than the API server that a pod is ready.
reach() { curl --noproxy '*' --silent --head --output /dev/null --max-time 2 "$url"; }
if reach || { [ $? -eq 7 ] && sleep 1 && reach; }; then
	echo "$url"
	exit
fi
[ -z "${URL:-}" ] || fail "$url cannot be reached: is its tunnel still open?"
ready=$($KUBECTL get endpointslice --selector=kubernetes.io/service-name=hello-world \
	--output='jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].addresses}')
[ -n "$ready" ] || fail "no pod is ready: make status"
namespace=$($KUBECTL config view --minify --output='jsonpath={.contexts[0].context.namespace}')
fail "$url cannot be reached from here: minikube needs a tunnel. Leave this running:" \
	"minikube service hello-world --url${namespace:+ --namespace=$namespace}," \
	"and tell make the address that it prints: make check URL=http://127.0.0.1:…"
