#!/usr/bin/env bash
# Shows a failover on real servers: main is lost by kill and by freeze, the runner dies on the way.
# `scripts/demo.sh full`: the whole cycle twice, failover, home by copy, a planned move and home again, while
# runner and services die at least ten times a leg.
# Installs the servers if they are missing, builds, and writes target/demo/report.json, or full.json.
# More arguments go to the demonstration: `scripts/demo.sh --seed 7` repeats the kills of a seed.
set -euo pipefail
cd "$(dirname "$0")/.."

what=(demo --report target/demo/report.json)
if [ "${1:-}" = full ]; then
    shift
    what=(demo-full --report target/demo/full.json)
fi
scripts/install.sh
target="${CARGO_TARGET_DIR:-target}"
cargo build --locked --package pointsman --package lab
exec "$target/debug/lab" --state "$target/demo/lab" "${what[@]}" "$@"
