#!/usr/bin/env bash
# Builds the fuzz targets and runs them one after the other, each with RUNS inputs, or for SECONDS_EACH where that is
# set. What was found stays in corpus/, so that the next run goes on from there; a crash stays in artifacts/.
set -uo pipefail
cd "$(dirname "$0")"
: "${RUNS:=10000000}" "${SECONDS_EACH:=0}" "${CARGO:=cargo}"
# Target, longest input in bytes, dictionary.
targets="yahoo_body 1024 json
yahoo_spark 1024 json
yahoo_stream 512 json
http_pointers 1024 json
commit_metadata 512 json
storage_table 3072 json
stockwatch_file 2048 yaml
raw_records 1024 json"
[ $# -eq 0 ] || targets=$(grep -E "^($(IFS='|'; echo "$*")) " <<<"$targets")

bins=$(cut -d' ' -f1 <<<"$targets")
# Of the whole workspace, so that features are those of the usual build and nothing else is built again.
RUSTC_WORKSPACE_WRAPPER="$PWD/instrument.sh" "$CARGO" build --release --workspace --features stockwatch-fuzz/fuzz \
  --bin ${bins//$'\n'/ --bin } || exit 1
built=$("$CARGO" metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
mkdir -p "$built/fuzz"
if [ "$SECONDS_EACH" -gt 0 ]; then until="-max_total_time=$SECONDS_EACH"; else until="-runs=$RUNS"; fi
failed=0
table="$(printf '%-16s %10s %8s %9s %8s %7s' target inputs 'a second' coverage features 'RSS MB')"
while read -r target length dictionary; do
  echo "fuzz: $target"
  mkdir -p "corpus/$target" "artifacts/$target"
  log="$built/fuzz/$target.log"
  "$built/$target" "corpus/$target" "seeds/$target" \
    "$until" -max_len="$length" -dict="dict/$dictionary.dict" -artifact_prefix="artifacts/$target/" \
    -timeout=10 -rss_limit_mb=512 -print_final_stats=1 >"$log" 2>&1
  status=$?
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  seen() { grep -o "$1: [0-9]*" "$log" | tail -1 | cut -d' ' -f2; }
  table+=$'\n'"$(printf '%-16s %10s %8s %9s %8s %7s' "$target" "$(stat number_of_executed_units)" \
    "$(stat average_exec_per_sec)" "$(seen cov)" "$(seen ft)" "$(stat peak_rss_mb)")"
  if [ $status -ne 0 ]; then
    failed=$((failed + 1))
    table+="  FAILED"
    tail -n 60 "$log"
  fi
done <<<"$targets"
echo "$table"
[ $failed -eq 0 ] || { echo "fuzz: $failed failed; their inputs are in fuzz/artifacts" >&2; exit 1; }
