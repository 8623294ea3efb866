#!/usr/bin/env bash
# Every test of the workspace, on real servers; installs those if they are missing.
# Arguments go to cargo: `scripts/test.sh -p lab`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
if [ "$#" -eq 0 ]; then
    set -- --workspace
fi
cargo test --locked "$@"
