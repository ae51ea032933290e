# What the cluster runs: one binary with all of Kubernetes, and kubectl, helm, CoreDNS and kubeconform, built from the
# Go modules of go.mod; Kubernetes' schemas; the sandbox image. Sourced by the scripts here.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/stockwatch
bin=$cache/cluster-$(cat "$here"/{go.mod,go.sum,main.go,schemas/main.go,pause.c} | sha256sum | cut -c1-12)

say() { echo "cluster: $*" >&2; }
need() { # TOOL WHAT_TO_DO
  command -v "$1" >/dev/null || { say "$1 is missing: $2"; exit 1; }
}

build() { # whole or not at all: several scripts may start together
  [ -d "$bin" ] && return
  need go "install Go 1.26 or newer (go.dev/dl)"
  need gcc "apt-get install gcc libc6-dev"
  say "building Kubernetes and its tools: up to 10 minutes the first time"
  mkdir -p "$cache"
  local new; new=$(mktemp -d "$bin.XXXXXX")
  if compile "$new" && pause_image "$new"; then
    chmod 755 "$new"
    mv -T "$new" "$bin" 2>/dev/null || rm -rf "$new"
  else
    rm -rf "$new"
    return 1
  fi
}

compile() { # DIRECTORY
  local version minor ld="-s -w" package
  version=$(cd "$here" && go list -m -f '{{.Version}}' k8s.io/kubernetes) || return 1
  minor=$(cut -d. -f2 <<<"$version")
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    ld="$ld -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
  done
  for package in helm.sh/helm/v3/pkg/lint/rules helm.sh/helm/v3/pkg/chartutil; do
    ld="$ld -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
  done
  (cd "$here" && export CGO_ENABLED=0 GOFLAGS=-buildvcs=false &&
    go build -trimpath -ldflags "$ld" -o "$1/kube" . &&
    go build -trimpath -ldflags "$ld" -o "$1/" helm.sh/helm/v3/cmd/helm github.com/coredns/coredns \
      k8s.io/kubernetes/cmd/kubectl github.com/yannh/kubeconform/cmd/kubeconform &&
    go run ./schemas "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/api/openapi-spec/swagger.json" "$1/schemas") >&2
}

pause_image() { # DIRECTORY: a container image is a tar of layers and two JSON files
  local layer config
  gcc -static -Os -o "$1/pause" "$here/pause.c" &&
    strip "$1/pause" &&
    mkdir "$1/image" &&
    tar --owner 0 --group 0 --numeric-owner -C "$1" -cf "$1/image/layer.tar" pause || return 1
  layer=$(sha256sum "$1/image/layer.tar" | cut -d' ' -f1)
  config='{"architecture":"'$(go env GOARCH)'","os":"linux","config":{"Entrypoint":["/pause"]},"rootfs":{"type":"layers","diff_ids":["sha256:'$layer'"]}}'
  echo "$config" >"$1/image/config.json"
  echo '[{"Config":"config.json","RepoTags":["localhost/pause:1"],"Layers":["layer.tar"]}]' >"$1/image/manifest.json"
  tar -C "$1/image" -cf "$1/pause.tar" manifest.json config.json layer.tar && rm -r "$1/image"
}

packages() { # what is missing of what the cluster and its images need from Debian
  local package missing=()
  for package in containerd runc containernetworking-plugins nftables iproute2 openssl curl ca-certificates \
    buildah debootstrap binutils gcc libc6-dev; do
    [[ $(dpkg-query -W -f='${Status}' $package 2>/dev/null) == *'ok installed' ]] || missing+=($package)
  done
  [ ${#missing[@]} = 0 ] && return
  need apt-get "these Debian packages are missing: ${missing[*]}"
  say "installing ${missing[*]}"
  local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  DEBIAN_FRONTEND=noninteractive $sudo apt-get update -q >/dev/null &&
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
}
