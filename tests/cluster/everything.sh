#!/usr/bin/env bash
# All of it on this machine, to look at: Kubernetes, Kafka, the operator by helm, and StockWatches.
#   everything.sh up     start it from target/release; the last line printed is the export of its KUBECONFIG
#   everything.sh down   end it and remove all that it left
# CLUSTER_DIR is the cluster's directory (/tmp/stockwatch-cluster), Kafka's is beside it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cluster=$here/cluster.sh kafka=$root/tests/kafka/kafka.sh
export CLUSTER_DIR=${CLUSTER_DIR:-$(readlink /run/stockwatch-cluster || echo /tmp/stockwatch-cluster)}
export KAFKA_DIR=$CLUSTER_DIR-kafka KAFKA_HOST=10.200.0.2 KAFKA_PORT=19092

up() {
  "$cluster" packages
  local tools images
  KUBECONFIG=$("$cluster" up)
  export KUBECONFIG
  trap down EXIT
  tools=$("$cluster" tools)
  export PATH=$tools:$PATH
  images=$("$here/images.sh" operator worker)
  "$cluster" load $images
  "$kafka" up >/dev/null
  kafka_service | kubectl apply -f - >/dev/null
  helm install stockwatch "$root/helm/stockwatch" -n stockwatch --create-namespace --wait \
    --set image.repository=stockwatch-operator --set worker.image.repository=stockwatch-worker >/dev/null
  kubectl apply -f "$root/examples/first.yaml" >/dev/null
  kubectl wait --for=condition=Ready sw/first --timeout=120s >/dev/null
  kubectl wait --for=condition=QuotesFlow sw/first --timeout=60s >/dev/null
  kubectl get sw
  printf '\nAn alarm, with the episode that it begins, and a fill of a paper account:\n\n'
  tail_first alarms 1
  # An account's first entry is an order, and the next one its fill: of three accounts, four entries have one.
  tail_first ledger 4 | awk '/"type":"fill"/ && !n++'
  trap - EXIT
  cat <<END

A StockWatch of made-up quotes runs. Retune it while it does, and see what happens:

  kubectl edit sw first
  kubectl exec deploy/first-stockwatch -- stockwatch-worker tail alarms    # or: ledger, averages, dead-letter

Brokers are kafka.kafka:9092 for pods. Pods have no way to the internet: seed.yaml gets no quotes here.
make cluster-down ends it.

export PATH=$tools:\$PATH
export KUBECONFIG=$KUBECONFIG
END
}

tail_first() { # TOPIC COUNT: its first records
  timeout 120 kubectl exec deploy/first-stockwatch -- stockwatch-worker tail "$1" --from-beginning --max "$2"
}

kafka_service() { # kafka.kafka:9092, as the examples name it
  cat <<Y
apiVersion: v1
kind: Namespace
metadata: {name: kafka}
---
apiVersion: v1
kind: Service
metadata: {name: kafka, namespace: kafka}
spec: {ports: [{name: kafka, port: 9092}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kafka, namespace: kafka, labels: {kubernetes.io/service-name: kafka}}
addressType: IPv4
ports: [{name: kafka, port: $KAFKA_PORT}]
endpoints: [{addresses: ["$KAFKA_HOST"]}]
Y
}

down() {
  "$kafka" down
  "$cluster" down
}

case ${1:-} in
  up | down) "$1" ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
