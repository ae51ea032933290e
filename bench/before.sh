#!/usr/bin/env bash
# The release before alarms had verdicts, episodes and accounts, built once: prints the directory with its worker and with
# core/examples/instructions against its core.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=8fdd566337ba
example=core/examples/instructions
dir=${XDG_CACHE_HOME:-$HOME/.cache}/stockwatch/before-$commit-$(cat $example/main.rs $example/before.rs | sha256sum | head -c 8)
if [ ! -d "$dir" ]; then
  git cat-file -e "$commit^{commit}" 2>/dev/null ||
    { echo "before.sh: commit $commit is not in this clone: git fetch --unshallow" >&2; exit 1; }
  mkdir -p target "${dir%/*}"
  source=$PWD/target/before
  rm -rf "$source" && mkdir "$source"
  trap 'rm -rf "$source"' EXIT
  git archive "$commit" | tar -x -C "$source"
  mkdir -p "$source/$example"
  cp $example/main.rs "$source/$example/main.rs"
  cp $example/before.rs "$source/$example/api.rs"
  (cd "$source" && CARGO_TARGET_DIR=$source/target \
    cargo build --release --workspace --bin stockwatch-worker --example instructions) >&2
  mkdir -p "$dir.new"
  cp "$source"/target/release/{stockwatch-worker,examples/instructions} "$dir.new"
  mv -T "$dir.new" "$dir"
fi
echo "$dir"
