# containerd, the kubelet, the service proxy and DNS. Sourced by cluster.sh.

node() {
  local name
  mkdir -p "$dir/cni"
  for name in containerd.toml kubelet.yaml kube-proxy.yaml Corefile; do config $name >"$dir/run/$name"; done
  config pods.conflist >"$dir/cni/10-pods.conflist"
  for name in kube-proxy coredns; do kubeconfig system:$name >"$dir/run/$name.kubeconfig"; done
  kubeconfig system:node:node >"$dir/run/kubelet.kubeconfig"

  component containerd containerd -c "$dir/run/containerd.toml"
  wait_for containerd containerd ctr -a "$dir/containerd.sock" version
  load "$bin/pause.tar"
  component kubelet "$bin/kube" kubelet --config "$dir/run/kubelet.yaml" --kubeconfig "$dir/run/kubelet.kubeconfig" \
    --root-dir "$dir/kubelet" --cert-dir "$dir/kubelet/pki" --hostname-override node --node-ip $node
  component kube-proxy "$bin/kube" kube-proxy --config "$dir/run/kube-proxy.yaml" --hostname-override node
}

dns() {
  component coredns "$bin/coredns" -conf "$dir/run/Corefile"
  config dns.yaml | "$bin/kubectl" apply -f - >>"$dir/logs/coredns.log"
  wait_for coredns DNS curl -sf http://$node:8181/ready
}

load() { # TAR: images into the container runtime
  ctr -a "$dir/containerd.sock" -n k8s.io images import "$1" >>"$dir/logs/images.log" 2>&1 ||
    { say "cannot import $1:"; tail -n 3 "$dir/logs/images.log" >&2; return 1; }
}

config() { # FILE: a file of config/ with this cluster's directory and addresses
  sed -e "s|@dir@|$dir|g" -e "s|@node@|$node|g" "$here/config/$1"
}
