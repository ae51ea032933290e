#!/usr/bin/env bash
# The chart: its definition is the generated one, and what it renders, with each of the values beside this file, is what
# Kubernetes' schemas allow; what some of them give, its definition aside, is in snapshots/, so that a change of the chart shows
# what it changes for users (SNAPSHOTS=write writes them). It renders after an upgrade with --reuse-values from the oldest chart, and its alerting rules
# fire when they should. What the rest of it should say is in tests/tests/cluster/chart.rs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
chart=$root/helm/stockwatch
"$root/tests/cluster/cluster.sh" build
tools=$("$root/tests/cluster/cluster.sh" tools)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

kubeconform() {
  "$tools/kubeconform" -strict -skip ServiceMonitor,PrometheusRule \
    -schema-location "$tools/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json"
}

diff "$root/crds/stockwatch.yaml" "$chart/files/stockwatch.yaml" ||
  { echo "chart: files/stockwatch.yaml is not crds/stockwatch.yaml: make crds" >&2; exit 1; }
for values in "$here"/*.yaml; do
  "$tools/helm" lint --strict --quiet "$chart" --values "$values"
  "$tools/helm" template stockwatch "$chart" --namespace watching --values "$values" >"$scratch/objects.yaml"
  kubeconform <"$scratch/objects.yaml"
  snapshot=$here/snapshots/$(basename "$values")
  if [ -e "$snapshot" ]; then
    awk 'BEGIN { RS = ORS = "---\n" } !/kind: CustomResourceDefinition/' "$scratch/objects.yaml" >"$scratch/snapshot.yaml"
    [ "${SNAPSHOTS:-}" != write ] || cp "$scratch/snapshot.yaml" "$snapshot"
    diff "$snapshot" "$scratch/snapshot.yaml" ||
      { echo "chart: it renders other objects: if they are meant, SNAPSHOTS=write $0" >&2; exit 1; }
  fi
  echo "chart: $(basename "$values") is fine"
done

# --reuse-values puts the values that the older chart had in the place of this one's defaults: what was added since is nil.
cp -r "$chart" "$scratch/chart"
cp "$here/upgrade/oldest.yaml" "$scratch/chart/values.yaml"
for values in "$here"/upgrade/with/*.yaml; do
  "$tools/helm" template stockwatch "$scratch/chart" --namespace watching --values "$values" >"$scratch/objects.yaml"
  ! grep -nE '<nil>|<no value>' "$scratch/objects.yaml" ||
    { echo "chart: upgraded with $(basename "$values") from the oldest chart, it says nil" >&2; exit 1; }
  kubeconform <"$scratch/objects.yaml"
  echo "chart: upgraded from the oldest with $(basename "$values"), it is fine"
done

"$tools/helm" template sw "$chart" --namespace watching --values "$here/full.yaml" \
  --show-only templates/monitoring/prometheusrule.yaml >"$scratch/rules.yaml"
(cd "$here/rules" && go run . "$scratch/rules.yaml" rules.yaml)
