#!/bin/sh
# Prints the counter's URL once a pod is ready, or says why there is none. KUBECTL: the command, with its options.
# NAMESPACE: the counter's. URL: a tunnel's address, if there is one. It exits with 3 where only a tunnel leads to the node.
set -eu
fail() { echo "$*" >&2; exit 1; }
reach() { curl --noproxy '*' --silent --head --output /dev/null --max-time 2 "$url"; } # a HEAD is not a visit
serves() { $KUBECTL get --raw "/api/v1/namespaces/$NAMESPACE/services/hello-world:80/proxy/healthz" >/dev/null 2>&1; }

url=${URL:-}
if [ -n "$url" ]; then
	reach || fail "$url cannot be reached: is its tunnel still open?"
	echo "$url"
	exit
fi

port=$($KUBECTL get service hello-world --output='jsonpath={.spec.ports[0].nodePort}' 2>/dev/null) \
	|| fail "there is no Service hello-world: make deploy"
[ "$($KUBECTL get deployment hello-world --output='jsonpath={.spec.replicas}' 2>/dev/null)" != 0 ] \
	|| fail "there are no pods: make scale N=3"
address=$($KUBECTL get node --selector=minikube.k8s.io/primary=true \
	--output='jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
url=http://${address%% *}:$port

began=$(date +%s)
refusals=5 # a node may learn later than the API server that a pod is ready
until reach; do
	code=$?
	if serves; then
		[ $code -eq 7 ] && [ $refusals -gt 0 ] || {
			[ "$NAMESPACE" = default ] || there=" --namespace=$NAMESPACE"
			echo "$url cannot be reached from here: minikube needs a tunnel. Leave this running:" \
				"minikube service hello-world --url${there:-}," \
				"and tell make the address that it prints: make check URL=http://127.0.0.1:…" >&2
			exit 3
		}
		refusals=$((refusals - 1))
	else
		[ -n "${said:-}" ] || { said=yes && echo "waiting for a pod" >&2; }
		[ $(($(date +%s) - began)) -lt 60 ] || { sh "$(dirname "$0")/reasons.sh" >&2; fail "no pod is ready"; }
	fi
	sleep 1
done
echo "$url"
