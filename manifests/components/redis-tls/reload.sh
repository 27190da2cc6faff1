#!/bin/sh
# Makes Redis read its certificate again after a renewal: it does not look by itself.
set -eu
files=/run/secrets/tls
REDISCLI_AUTH=$(cat /run/secrets/redis/password)
export REDISCLI_AUTH
known=$(cat "$files"/* | sha256sum)
while sleep 5; do
	now=$(cat "$files"/* | sha256sum)
	[ "$now" != "$known" ] || continue
	answer=$(redis-cli --tls --insecure --user reload config set \
		tls-ca-cert-file "$files/ca.crt" tls-cert-file "$files/tls.crt" tls-key-file "$files/tls.key" 2>&1) || true
	echo "the certificate was renewed: $answer"
	[ "$answer" != OK ] || known=$now
done
