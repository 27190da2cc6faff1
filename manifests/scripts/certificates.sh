#!/bin/sh
# Makes an authority and a certificate for a week, and puts them into a Secret as cert-manager does: to try TLS with, or
# to renew. certificates.sh SECRET NAME…, as in: certificates.sh redis-tls redis. KUBECTL: the command, with its options.
set -eu
secret=$1
shift
names=
for name; do names="${names:+$names,}DNS:$name"; done
directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
cd "$directory"
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7"
# shellcheck disable=SC2086 # several words
openssl req -x509 $key -subj "/CN=hello" -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt 2>/dev/null
# shellcheck disable=SC2086
openssl req -x509 $key -subj "/CN=$1" -addext "subjectAltName=$names" -addext basicConstraints=critical,CA:FALSE \
	-CA ca.crt -CAkey ca.key -keyout tls.key -out tls.crt 2>/dev/null
${KUBECTL:-kubectl} create secret generic "$secret" --type=kubernetes.io/tls \
	--from-file=tls.crt --from-file=tls.key --from-file=ca.crt --dry-run=client --output=yaml |
	${KUBECTL:-kubectl} apply --filename=-
