#!/bin/sh
# Puts what the comparison needs under build/bench: the peers, from their lock files, and oha and toxiproxy by version.
# `prepare.sh short` makes only what `python -m bench short` needs. wrk and webdis are Debian's packages.
set -eu
cd "$(dirname "$0")"
build=$PWD/../build/bench
mkdir -p "$build"

need() { command -v "$1" >/dev/null || { echo "bench: there is no $1: $2" >&2; exit 1; }; }

need wrk "on Debian and Ubuntu, apt install wrk"
need go "install Go"
(cd peers/go && go build -trimpath -o "$build/go" .)
[ "${1:-}" != short ] || exit 0

need webdis "on Debian and Ubuntu, apt install webdis"
need npm "install Node"
need cargo "install Rust"
mkdir -p "$build/node"
cp peers/node/server.js peers/node/package.json peers/node/package-lock.json "$build/node"
npm ci --prefix "$build/node" --silent --no-audit --no-fund --ignore-scripts
GOBIN=$build go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
mv "$build/server" "$build/toxiproxy"
[ -x "$build/bin/oha" ] || cargo install oha --version 1.16.0 --locked --quiet --root "$build"
