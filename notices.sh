#!/usr/bin/env bash
# The notices that go with a program: each crate that is linked into it, with its licence and the texts in its package,
# which has those of the C library that it brings, too (librdkafka, libcurl, zstd, jemalloc).
#   notices.sh stockwatch-operator|stockwatch-worker
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"
program=${1:?stockwatch-operator or stockwatch-worker}
packages=${CARGO_HOME:-$HOME/.cargo}/registry/src
rust=$(rustc --print sysroot)/share/doc/rust/licenses

crates() { # NAME-VERSION LICENCE: without ours, and without macros and what else runs only during the build
  cargo tree --locked --quiet -p "$program" -e normal,no-proc-macro --prefix none --format '{p}|{l}' |
    sed -n 's/ (\*)$//; / (\//d; s/^\([^ ]*\) v\([^ |]*\)[^|]*|/\1-\2 /p' | sort -u
}
texts() { # DIRECTORY...: hash and file, also of a library's one directory down
  find "$@" -maxdepth 2 -type f ! -name '*.rs' \( -iname 'licen[cs]e*' -o -iname 'copying*' \
    -o -iname 'copyright*' -o -iname 'notice*' -o -iname 'unlicense*' \) -exec sha256sum {} + | sort -k 2
}

declare -A files=() first=()
crates=$(crates)
cd "$packages"
while read -r hash file; do
  path=${file#*/} text=${hash:0:8} # behind the registry's directory
  files[${path%%/*}]+="  ${path#*/}: text $text"$'\n'
  first[$text]=$PWD/$file
done < <(texts $(sed 's: .*::; s:^:*/:' <<<"$crates"))

echo "$program is licensed under the Apache License 2.0. It contains the following."
echo
echo "Rust's standard library: MIT OR Apache-2.0"
for text in MIT Apache-2.0; do
  echo "  $text.txt: text $text"
  first[$text]=$rust/$text.txt
done
while read -r crate licence; do
  echo "$crate: $licence"
  [ -n "${files[$crate]:-}${first[$licence]:-}" ] || { echo "notices: $crate has no text, and which is $licence?" >&2; exit 1; }
  printf '%s' "${files[$crate]:-"  text $licence"$'\n'}"
done <<<"$crates"
for text in $(printf '%s\n' "${!first[@]}" | sort); do
  printf '\n---- text %s ----\n\n' "$text"
  cat "${first[$text]}"
done
