#!/bin/sh
# Makes a certificate for a week, and puts it into a Secret as cert-manager does: to try TLS with, or to renew. Its
# authority is kept in the Secret SECRET-authority for a year: a renewed certificate of another one would need a restart.
# certificates.sh SECRET NAME…, as in: certificates.sh redis-tls redis. KUBECTL: the command, with its options.
set -eu
KUBECTL=${KUBECTL:-kubectl}
secret=$1
shift
names=
for name; do names="${names:+$names,}DNS:$name"; done
directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
cd "$directory"
save() {
	$KUBECTL create secret generic "$1" --type=kubernetes.io/tls --from-file=tls.crt="$2.crt" --from-file=tls.key="$2.key" \
		--from-file=ca.crt --dry-run=client --output=yaml | $KUBECTL apply --filename=-
}
saved() { $KUBECTL get secret "$secret-authority" --ignore-not-found --output="jsonpath={.data.$1}" | base64 -d; }
saved 'tls\.crt' >ca.crt
saved 'tls\.key' >ca.key
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
if [ ! -s ca.key ]; then
	# shellcheck disable=SC2086 # several words
	openssl req -x509 $key -days 365 -subj "/CN=hello" -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt 2>/dev/null
	save "$secret-authority" ca
fi
# shellcheck disable=SC2086
openssl req -x509 $key -days 7 -subj "/CN=$1" -addext "subjectAltName=$names" -addext basicConstraints=critical,CA:FALSE \
	-CA ca.crt -CAkey ca.key -keyout tls.key -out tls.crt 2>/dev/null
save "$secret" tls
