#!/bin/sh
# Runs a command, and shows what it said only if it fails.
said=$("$@" 2>&1) || { code=$?; printf '%s\n' "$said" >&2; exit $code; }
