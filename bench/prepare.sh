#!/bin/sh
# Puts the peers under build/bench, from their lock files. `prepare.sh short` makes only what `python -m bench short` needs.
set -eu
cd "$(dirname "$0")"
build=$PWD/../build/bench
mkdir -p "$build"

missing=
for tool in taskset wrk go $([ "${1:-}" = short ] || echo npm etcd); do
	command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || { echo "bench: install what is missing:$missing (Debian and Ubuntu have wrk)" >&2; exit 1; }

(cd peers/go && go build -trimpath -o "$build/go" .)
[ "${1:-}" != short ] || exit 0

mkdir -p "$build/node"
cp peers/node/server.js peers/node/package.json peers/node/package-lock.json "$build/node"
npm ci --prefix "$build/node" --silent --no-audit --no-fund --ignore-scripts
