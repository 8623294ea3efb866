#!/usr/bin/env bash
# Floors and program in the same run: target/bench/report.json. Wants an otherwise idle machine.
# `scripts/bench.sh --quick` shows that it works, in seconds; its figures say little.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
cargo build --locked --release --package pointsman --package bench --package lab
target="${CARGO_TARGET_DIR:-target}"
"$target/release/bench" "$@" target/bench
