#!/bin/sh
# Writes the users that Redis knows, with the password's hash in place of PASSWORD_SHA256, and becomes Redis.
set -eu
password=$(cat /run/secrets/redis/password)
[ -n "$password" ] || { echo "the Secret redis-password holds an empty password" >&2; exit 1; }
hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
cat /etc/redis/*.acl | sed "s/PASSWORD_SHA256/$hash/" >/run/redis/users.acl
# Two servers on one directory would spoil it. Without --no-fork, flock would keep SIGTERM from Redis.
exec flock --no-fork --timeout 20 /data redis-server /etc/redis/redis.conf "$@"
