#!/usr/bin/env bash
# The chart: its definition is the generated one, and what it renders, with each of the values beside this file, is what
# Kubernetes' schemas allow. What the rest of it should say is in tests/tests/chart.rs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
chart=$root/helm/stockwatch
"$root/tests/cluster/cluster.sh" build
tools=$("$root/tests/cluster/cluster.sh" tools)

diff "$root/crds/stockwatch.yaml" "$chart/files/stockwatch.yaml" ||
  { echo "chart: files/stockwatch.yaml is not crds/stockwatch.yaml: make crds" >&2; exit 1; }
for values in "$here"/*.yaml; do
  "$tools/helm" lint --strict --quiet "$chart" --values "$values"
  "$tools/helm" template stockwatch "$chart" --namespace watching --values "$values" |
    "$tools/kubeconform" -strict -skip ServiceMonitor,PrometheusRule \
      -schema-location "$tools/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json"
  echo "chart: $(basename "$values") is fine"
done
