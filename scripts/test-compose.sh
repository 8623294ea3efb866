#!/usr/bin/env bash
# The tests of docker-compose.yml: minutes, and a docker daemon that runs. Makes the images that they need.
# Arguments are names of tests.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
cargo build --locked --workspace
export POINTSMAN_COMPOSE=1
exec cargo test --locked --workspace --test compose -- --nocapture --test-threads 1 "$@"
