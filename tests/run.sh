#!/usr/bin/env bash
# Every test: the worker's against brokers, beside those without a cluster and then the operator's in one cluster, since most
# of them wait. What each prints is also in target/test-logs; the last lines are a table of phases, and how many tests passed
# and failed. Programs and tests are built already (make build). THREADS (5) tests of each side run at once.
set -uom pipefail # a side in the background is a process group, which ends with this script
cd "$(dirname "$0")/.."
source tests/phases.sh
threads=${THREADS:-5}
logs=$PWD/target/test-logs
rm -rf "$logs" && mkdir -p "$logs"
trap 'end_sides; end_cluster; wait; table; totals; rm -f "$times"' EXIT
trap 'exit 130' INT TERM

tests() { # CARGO_ARGUMENTS... -- TEST_ARGUMENTS...
  cargo test --release --workspace "$@"
}

binary() { # NAME: a program of tests. Run without Cargo, it waits for nobody who builds meanwhile.
  tests --test "$1" --no-run --message-format=json |
    sed -n 's/.*"kind":\["test"\].*"name":"'"$1"'".*"executable":"\([^"]*\)".*/\1/p'
}
run() { # BINARY TEST_ARGUMENTS...
  (cd tests && "$@")
}

hold_cluster() { # one cluster for all; it ends when its input does, however this script ends
  mkfifo "$logs/end"
  tests/cluster/cluster.sh hold <"$logs/end" >"$logs/kubeconfig" &
  holder=$!
  exec 8>"$logs/end"
  until [ -s "$logs/kubeconfig" ]; do
    kill -0 $holder 2>/dev/null || return 1
    sleep 0.2
  done
  export STOCKWATCH_CLUSTER_HELD=1
}
side() { # NAME: runs the function of that name in the background; its process is then $!
  "$1" >"$logs/$1" 2>&1 </dev/null 8>&- &
}
end_sides() { # but not the cluster's holder, which ends when its input does
  for job in $(jobs -pr); do [ "$job" = "${holder:-}" ] || kill -- -"$job"; done
}
end_cluster() { # once the tests' own releases are taken away, which outlives the tests
  [ -z "${STOCKWATCH_CLUSTER_HELD:-}" ] || tests/cluster/cluster.sh idle
  exec 8>&-
  [ -z "${holder:-}" ] || wait "$holder"
}

units() {
  phase 'unit and doc tests' tests --no-fail-fast
}
worker() {
  local failed=0
  # Those of three brokers take turns, and go before the others: many brokers at once are more than two cores keep in time.
  phase 'worker and three brokers' run "$kafka" --test-threads=1 brokers:: || failed=1
  phase 'worker and Kafka' run "$kafka" --test-threads="$threads" --skip brokers:: || failed=1
  return $failed
}
operator() {
  local failed=0
  phase 'operator and cluster' run "$cluster" --test-threads="$threads" --skip alone:: --skip listed:: || failed=1
  phase 'releases of listed namespaces' run "$cluster" --test-threads="$threads" listed:: || failed=1
  phase 'alone in the cluster' run "$cluster" --test-threads=1 alone:: || failed=1
  return $failed
}

totals() { # of all runners, in one line
  cat "$logs"/{units,worker,operator} 2>/dev/null |
    awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 }
      END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped }'
}

failed=0
phase 'health check of Argo CD' tests/argocd/check.sh || failed=1
kafka=$(binary kafka) cluster=$(binary cluster)
[ -x "$kafka" ] && [ -x "$cluster" ] || { echo "tests/run.sh: the tests are not built: make build" >&2; exit 1; }
side worker && worker=$!
side units && units=$!
phase 'start of the cluster' hold_cluster || exit 1
phase 'images' tests/cluster/images.sh operator worker kafka >/dev/null 8>&- || exit 1
wait "$units" || failed=1
side operator
wait $! || failed=1
wait "$worker" || failed=1
cat "$logs"/{units,worker,operator}
exit $failed
