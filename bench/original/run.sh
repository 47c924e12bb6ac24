#!/usr/bin/env bash
# Measure the npm original in a temporary directory, print one JSON line for each figure.
#
#   ./run.sh > original.jsonl
#   NOEX_STORE=../noex-store NOEX=../noex ./run.sh    from directories, tarballs or other versions
#
# Without node, or when npm cannot install the packages, it says so and succeeds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

skip() {
    echo "bench/original: skipped: $*" >&2
    exit 0
}

command -v node >/dev/null || skip 'there is no node'
command -v npm >/dev/null || skip 'there is no npm'
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || skip "node 20 or newer is needed, this is $(node --version)"

# npm would take a directory for one below the temporary directory.
spec() { if [ -e "$1" ]; then realpath "$1"; else echo "$1"; fi; }
packages=("$(spec "${NOEX_STORE:-@hamicek/noex-store}")")
if [ -n "${NOEX:-}" ]; then
    packages+=("$(spec "$NOEX")")
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private": true}' >package.json
# No scripts: nothing of these packages needs one. Copies, not links: a linked package would not find the other one.
npm install --ignore-scripts --install-links --no-audit --no-fund "${packages[@]}" >npm.log 2>&1 ||
    skip "npm cannot install ${packages[*]}: $(sed -En 's/^npm (error|ERR!) //p' npm.log | head -n 2 | paste -sd ' ')"

cp "$here"/bench.mjs .
node bench.mjs
