#!/usr/bin/env bash
# The program as it ships: target/release/pointsman.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --locked --release --package pointsman
