#!/usr/bin/env bash
# Form, lints and licences. That generated files are up to date is a test (scripts/test.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
scripts/check-licences.sh
