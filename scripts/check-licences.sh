#!/usr/bin/env bash
# Licences, sources and double versions of all crates, as deny.toml wants them.
# Where cargo-deny is not installed, a script of our own checks the same three from cargo's data.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v cargo-deny >/dev/null; then
    cargo deny --offline check licenses bans sources
else
    python3 scripts/licences.py
fi
echo "not checked here: security advisories, whose database is not available offline (cargo deny check advisories)"
