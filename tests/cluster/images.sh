#!/usr/bin/env bash
# The images of Dockerfile.*, with the programs that cargo built here instead of the build stage: no registry, no Docker.
#   images.sh NAME...   build the image of each (operator, worker) from target/release; prints their docker-archives
#   images.sh clean     remove what it keeps
# IMAGE_TAG is their tag (the version in Cargo.toml). The base image, Debian from its mirror (DEBIAN_MIRROR), and the
# layers are kept in ~/.cache/stockwatch/images. Needs root and the packages of cluster.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
source "$here/tools.sh"
store=$cache/images
release=$(. /etc/os-release && echo "$VERSION_CODENAME") # the programs were linked against this one's libraries
tag=${IMAGE_TAG:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)}
logs=$root/target/images/build.log

in_store() { command buildah --root "$store/layers" --runroot "$store/run" "$@"; }

base() { # docker.io/library/debian:RELEASE-slim, made as Docker's is
  local name=docker.io/library/debian:$release-slim tar=$store/debian-$release.tar
  in_store inspect --type image "$name" >/dev/null 2>&1 && return
  if [ ! -e "$tar" ]; then
    say "fetching Debian $release"
    local new; new=$(mktemp -d "$store/debian.XXXXXX")
    debian "$new/root" >>"$logs" 2>&1 && tar -C "$new/root" --exclude './dev/*' -cf "$new/tar" . && mv "$new/tar" "$tar" ||
      { rm -rf "$new"; return 1; }
    rm -rf "$new"
  fi
  local container; container=$(in_store from scratch)
  in_store add -q "$container" "$tar" / >>"$logs"
  in_store config --cmd /bin/bash "$container"
  in_store commit -q --rm "$container" "$name" >>"$logs" 2>&1
}
debian() { # DIRECTORY
  local mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian} what
  debootstrap --variant=minbase "$release" "$1" "$mirror" || return 1
  echo "deb $mirror $release-updates main" >>"$1/etc/apt/sources.list"
  [ -n "${DEBIAN_MIRROR:-}" ] ||
    echo "deb http://deb.debian.org/debian-security $release-security main" >>"$1/etc/apt/sources.list"
  rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
  for what in doc man info locale; do # "slim"
    rm -rf "$1/usr/share/$what"/*
    echo "path-exclude /usr/share/$what/*" >>"$1/etc/dpkg/dpkg.cfg.d/slim"
  done
}

image() { # NAME
  local name=stockwatch-$1 program=$root/target/release/stockwatch-$1 tar=$root/target/images/$1-$tag.tar
  [ -e "$program" ] || { say "$program is missing: cargo build --release --workspace"; return 1; }
  if ! [ "$tar" -nt "$program" -a "$tar" -nt "$root/Dockerfile.$1" ]; then
    local stage=$root/target/images/stage-$1
    rm -rf "$stage" && mkdir "$stage"
    strip -o "$stage/$name" "$program"
    touch -d @0 "$stage/$name"
    in_store bud -q --layers --pull-never --isolation chroot --build-arg DEBIAN="$release" \
      --build-context build="$stage" --target runtime -f "$root/Dockerfile.$1" -t "docker.io/library/$name:$tag" "$stage" >>"$logs" 2>&1
    rm -f "$tar"
    in_store push -q "docker.io/library/$name:$tag" "docker-archive:$tar.new:docker.io/library/$name:$tag" >>"$logs" 2>&1
    mv "$tar.new" "$tar"
    rm -r "$stage"
  fi
  echo "$tar"
}

case ${1:-} in
  clean) in_store rmi -a -f >/dev/null 2>&1 || true; rm -rf "$store" ;;
  '') sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
  *)
    need buildah "cluster.sh packages installs it"
    need debootstrap "cluster.sh packages installs it"
    mkdir -p "$store" "$root/target/images"
    : >"$logs"
    trap 'rc=$?; [ $rc = 0 ] || { say "no image: the end of $logs:"; tail -n 15 "$logs" >&2; }' EXIT
    base
    for name in "$@"; do image "$name"; done ;;
esac
