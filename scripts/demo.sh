#!/usr/bin/env bash
# Shows a failover on real servers: main is lost by kill and by freeze, the runner dies on the way.
# Installs the servers if they are missing, builds, and writes target/demo/report.json.
# Arguments go to the demonstration: `scripts/demo.sh --seed 7` repeats the kills of a seed.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
target="${CARGO_TARGET_DIR:-target}"
cargo build --locked --package pointsman --package lab
exec "$target/debug/lab" --state "$target/demo/lab" demo --report target/demo/report.json "$@"
