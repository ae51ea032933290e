# etcd, the API server, the controllers and the scheduler. Sourced by cluster.sh.

control_plane() {
  local user
  openssl genrsa -out "$dir/certs/accounts.key" 2048 2>/dev/null
  for user in 'admin "system:masters"' 'system:node:node "system:nodes"' system:kube-controller-manager \
    system:kube-scheduler system:kube-proxy system:coredns; do
    echo "$(openssl rand -hex 16),${user%% *},${user%% *}$([[ $user != *' '* ]] || echo ",${user#* }")"
  done >"$dir/certs/tokens.csv"

  component etcd "$bin/kube" etcd --data-dir "$dir/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
  # Who counts writes has the audit log open: it is not exchanged for another one at 100 MB, as it is by default.
  component kube-apiserver "$bin/kube" kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --bind-address 0.0.0.0 --secure-port 6443 --advertise-address $node --cert-dir "$dir/certs" \
    --token-auth-file "$dir/certs/tokens.csv" --authorization-mode Node,RBAC \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$dir/certs/accounts.key" \
    --service-account-signing-key-file "$dir/certs/accounts.key" --service-cluster-ip-range 10.96.0.0/16 \
    --kubelet-preferred-address-types InternalIP \
    --audit-policy-file "$here/config/audit.yaml" --audit-log-path "$dir/audit.log" --audit-log-maxsize 1000000
  wait_for kube-apiserver "the API server" curl -ksf https://$node:6443/readyz
  kubeconfig admin >"$KUBECONFIG"

  local name
  for name in kube-controller-manager kube-scheduler; do kubeconfig system:$name >"$dir/run/$name.kubeconfig"; done
  name=kube-controller-manager
  component $name "$bin/kube" $name --kubeconfig "$dir/run/$name.kubeconfig" \
    --authentication-kubeconfig "$dir/run/$name.kubeconfig" --authorization-kubeconfig "$dir/run/$name.kubeconfig" \
    --use-service-account-credentials --service-account-private-key-file "$dir/certs/accounts.key" \
    --root-ca-file "$dir/certs/apiserver.crt" --leader-elect=false
  name=kube-scheduler
  component $name "$bin/kube" $name --kubeconfig "$dir/run/$name.kubeconfig" --leader-elect=false \
    --authentication-kubeconfig "$dir/run/$name.kubeconfig" --authorization-kubeconfig "$dir/run/$name.kubeconfig"
}

kubeconfig() { # USER
  cat <<Y
apiVersion: v1
kind: Config
clusters:
- name: stockwatch
  cluster: {server: "https://$node:6443", certificate-authority-data: $(base64 -w0 "$dir/certs/apiserver.crt")}
users:
- name: $1
  user: {token: $(awk -F, -v user="$1" '$2 == user { print $1 }' "$dir/certs/tokens.csv")}
contexts:
- name: stockwatch
  context: {cluster: stockwatch, user: "$1"}
current-context: stockwatch
Y
}
