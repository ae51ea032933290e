#!/usr/bin/env bash
# A wrapper around rustc for the crates of this workspace: coverage for libFuzzer, all of it with stable flags, and
# whatever wraps around in the product ends the run. Other crates are shared with the usual build as they are: that
# keeps librdkafka and some 350 crates from being built again, and generic code is instrumented where it is used.
# There is no sanitizer: no code of ours is unsafe.
set -euo pipefail
case " $* " in
*" --crate-name build_script"* | *" --crate-type proc-macro "* | *" -vV "*) exec "$@" ;;
*" --crate-name "*)
  exec "$@" --cfg fuzzing -Ccodegen-units=16 -Cdebug-assertions=yes -Coverflow-checks=yes \
    -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  ;;
*) exec "$@" ;;
esac
