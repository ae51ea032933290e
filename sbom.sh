#!/usr/bin/env bash
# What a program is made of, as CycloneDX JSON: each crate that is linked into it, with its licence and its hash of
# Cargo.lock. It says the same for the same Cargo.lock: no time, no serial number.
#   sbom.sh stockwatch-operator|stockwatch-worker
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"
program=${1:?stockwatch-operator or stockwatch-worker}

crates() { # NAME VERSION LICENCE: without macros and what else runs only during the build; ours stand in brackets
  cargo tree --locked --quiet -p "$program" -e normal,no-proc-macro --prefix none --format '{p}|{l}' |
    sed -n 's/ (\*)$//; s/^\([^ ]*\) v\([^ |]*\)\( (\/[^|]*\)\{0,1\}|\(.*\)/\1 \2 \4/p' | sort -u
}

{
  # NAME VERSION HASH of every crate of the registry; empty: it is ours.
  sed -n 's/^name = "\(.*\)"/N \1/p; s/^version = "\(.*\)"/V \1/p; s/^checksum = "\(.*\)"/C \1/p' Cargo.lock
  echo END
  crates
} | awk -v program="$program" '
  function text(value) { gsub(/["\\]/, "\\\\&", value); return "\"" value "\"" }
  # Older crates write "/" for OR.
  function licence(value) { gsub(/ *\/ */, " OR ", value); return value }
  # In a URL a plus sign is a space.
  function purl(name, version) { gsub(/\+/, "%2B", version); return "pkg:cargo/" name "@" version }
  function component(type, name, version, terms, hash) {
    line = "{\"type\": " text(type) ", \"bom-ref\": " text(purl(name, version)) ", \"name\": " text(name) \
      ", \"version\": " text(version) ", \"purl\": " text(purl(name, version))
    if (hash != "") line = line ", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": " text(hash) "}]"
    return line ", \"licenses\": [{\"expression\": " text(licence(terms)) "}]}"
  }
  !listed && $1 == "N" { name = $2; next }
  !listed && $1 == "V" { version = $2; next }
  !listed && $1 == "C" { hashes[name " " version] = $2; next }
  $1 == "END" { listed = 1; next }
  !listed { next }
  {
    terms = substr($0, length($1 " " $2 " ") + 1)
    if (terms == "") { print "sbom: " $1 " has no licence" >"/dev/stderr"; failed = 1; exit 1 }
    if ($1 == program) { itself = component("application", $1, $2, terms, ""); next }
    parts = parts (parts == "" ? "" : ",\n    ") component("library", $1, $2, terms, hashes[$1 " " $2])
  }
  END {
    if (failed) exit 1
    print "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,"
    print "  \"metadata\": {\"component\": " itself "},"
    print "  \"components\": [\n    " parts "\n  ]\n}"
  }'
