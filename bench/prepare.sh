#!/bin/sh
# Puts what the comparison needs under build/bench: the peers, from their lock files, and oha and toxiproxy by version.
# `prepare.sh short` makes only what `python -m bench short` needs. wrk and webdis are Debian's packages.
set -eu
cd "$(dirname "$0")"
build=$PWD/../build/bench
mkdir -p "$build"

missing=
for tool in taskset wrk go $([ "${1:-}" = short ] || echo webdis npm cargo); do
	command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || { echo "bench: install what is missing:$missing (Debian and Ubuntu have wrk and webdis)" >&2; exit 1; }

(cd peers/go && go build -trimpath -o "$build/go" .)
[ "${1:-}" != short ] || exit 0

# Without Docker, or unless root, servers.py runs the peers in Python with one of this machine.
{ [ "$(id -u)" = 0 ] && docker version >/dev/null 2>&1; } || {
	[ -d "$build/peers" ] || ../.venv/bin/python -m venv "$build/peers"
	"$build/peers/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement peers/python/requirements.txt
}

mkdir -p "$build/node"
cp peers/node/server.js peers/node/package.json peers/node/package-lock.json "$build/node"
npm ci --prefix "$build/node" --silent --no-audit --no-fund --ignore-scripts
[ -x "$build/toxiproxy" ] || {
	GOBIN=$build go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
	mv "$build/server" "$build/toxiproxy"
}
[ -x "$build/bin/oha" ] || cargo install oha --version 1.16.0 --locked --quiet --root "$build"
