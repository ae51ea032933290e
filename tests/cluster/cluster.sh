#!/usr/bin/env bash
# A real one-node Kubernetes in namespaces of its own (network, mounts, processes): when their first process ends, the
# kernel takes all the others, the mounts and the network with it.
#   cluster.sh packages                install the Debian packages that this needs
#   cluster.sh build                   build Kubernetes and its tools, once, into ~/.cache/stockwatch
#   cluster.sh up                      start it; prints the path of its kubeconfig when the node is ready
#   cluster.sh hold                    use the one that runs, or else start one, until standard input ends: then take
#                                      down what it started, or run the commands that it read; waits for another hold
#                                      (with STOCKWATCH_CLUSTER_HELD: only for another of the same holder)
#   cluster.sh idle                    wait until nobody holds it (with STOCKWATCH_CLUSTER_HELD: nobody of the same holder)
#   cluster.sh load TAR...             import images (docker-archive)
#   cluster.sh stop|kill|start|pause|resume COMPONENT
#   cluster.sh crash                   kill all that runs on the node, pods too, and start the components again
#   cluster.sh cut ADDRESS             drop what the API server and the pod of that address send each other
#   cluster.sh join                    drop nothing any more
#   cluster.sh tools                   print the directory of kubectl, helm and kubeconform
#   cluster.sh down                    end it and remove all that it left
# CLUSTER_DIR holds kubeconfig, data, logs/ and audit.log (/tmp/stockwatch-cluster; not below /run or /var/log).
# One at a time: the API server is at 10.200.0.1:6443, pods at 10.244.0.0/24 and services at 10.96.0.0/16 are routed
# from the host, which pods reach at 10.200.0.2. Needs root. Components: etcd, kube-apiserver, kube-controller-manager,
# kube-scheduler, containerd, kubelet, kube-proxy, coredns.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
running=/run/stockwatch-cluster # a link to the directory of the one that runs
dir=${CLUSTER_DIR:-$(readlink $running || echo /tmp/stockwatch-cluster)}
node=10.200.0.1 host=10.200.0.2
export KUBECONFIG=$dir/kubeconfig
source "$here/tools.sh"
source "$here/processes.sh"
source "$here/control-plane.sh"
source "$here/node.sh"

network() { # a cable from the host to the node
  local first; first=$(first)
  ip link del sw-host 2>/dev/null || true # of one that the kernel is still clearing away
  ip link add sw-host type veth peer name eth0 netns "$first"
  ip addr add $host/24 dev sw-host
  ip link set sw-host up
  inside ip addr add $node/24 dev eth0
  inside ip link set eth0 up
  inside ip link set lo up
  inside ip route add default via $host
  ip route add 10.244.0.0/24 via $node
  ip route add 10.96.0.0/16 via $node
  inside sysctl -qw net.ipv4.ip_forward=1
}

up() {
  local tool
  for tool in ip nft containerd runc openssl curl; do need $tool "cluster.sh packages installs it"; done
  if [ -n "$(ls -A "$dir" 2>/dev/null)" ] && [ ! -e "$dir/logs/first.log" ]; then
    say "$dir is not empty and not a cluster's: choose another CLUSTER_DIR"
    exit 1
  fi
  build
  trap failed EXIT
  rm -rf "$dir"
  mkdir -p "$dir"/{run,logs,certs}
  ln -sfT "$dir" $running
  begin
  network
  control_plane
  node
  dns
  wait_for kubelet "a Ready node" "$bin/kubectl" wait --for=condition=Ready node/node --timeout=1s
  wait_for kube-controller-manager "the default account" "$bin/kubectl" get serviceaccount default
  trap - EXIT
}

crash() { # all but the first process end at once
  inside bash -c 'kill -KILL -1'
  local name
  # Until then their ports are taken.
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy coredns; do
    finish $name KILL
  done
  for name in etcd kube-apiserver; do start $name; done
  wait_for kube-apiserver "the API server" curl -ksf https://$node:6443/readyz
  for name in kube-controller-manager kube-scheduler containerd; do start $name; done
  wait_for containerd containerd ctr -a "$dir/containerd.sock" version
  for name in kubelet kube-proxy coredns; do start $name; done
}

cut_off() { # ADDRESS
  inside nft "table ip cut {
    chain from { type filter hook input priority -10; ip saddr $1 tcp dport 6443 drop; }
    chain to { type filter hook output priority -10; ip daddr $1 tcp sport 6443 drop; }
  }"
}

lock() { # against another that starts; a held cluster keeps it to its end
  [ "$(id -u)" = 0 ] || { say "needs root, for namespaces, mounts and containers"; exit 1; }
  exec 9>"$running${STOCKWATCH_CLUSTER_HELD:+-held}.lock"
  flock "$@" 9
}
another() { # the kubeconfig of the one that runs
  local other; other=$(readlink $running) && first "$other" >/dev/null && echo "$other/kubeconfig"
}

failed() { # keeps the logs alone
  say "did not start; its logs are in $dir/logs"
  end
  find "$dir" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} +
  rm -f $running
}

down() {
  [ -d "$dir" ] || return 0
  [ -e "$dir/logs/first.log" ] || { say "$dir is not a cluster's"; exit 1; }
  end
  rm -rf "$dir"
  [ "$(readlink $running || true)" != "$dir" ] || rm -f $running
}

case ${1:-} in
  packages) packages ;;
  build) build ;;
  tools) echo "$bin" ;;
  up)
    lock -n || { say "a test holds one"; exit 1; }
    if other=$(another); then say "one runs already: KUBECONFIG=$other"; exit 1; fi
    up
    echo "$KUBECONFIG" ;;
  hold)
    lock
    if another; then
      commands=$(cat)
      bash -c "$commands" >/dev/null
    else
      up
      trap down EXIT # also where nobody is there any more to read what follows
      echo "$KUBECONFIG"
      cat >/dev/null
    fi ;;
  idle) lock ;;
  load) for tar in "${@:2}"; do load "$tar"; done ;;
  start) start "$2" ;;
  stop) finish "$2" TERM ;;
  kill) finish "$2" KILL ;;
  pause) signal "$2" STOP ;;
  resume) signal "$2" CONT ;;
  crash) crash ;;
  cut) cut_off "$2" ;;
  join) inside nft delete table ip cut ;;
  down) down ;;
  *) sed -n '2,23s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
