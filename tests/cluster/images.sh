#!/usr/bin/env bash
# The images of Dockerfile.*, with the programs that cargo built here instead of the build stage: no registry, no Docker.
#   images.sh NAME...   build the image of each (operator, worker, kafka); prints their docker-archives
#   images.sh size NAME the bytes that the image of operator or worker has on top of its base
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
out=$root/target/images logs=$root/target/images/build.log

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
  local mirror what
  debootstrap --variant=minbase "$release" "$1" ${DEBIAN_MIRROR:-} || return 1
  mirror=$(awk '$1 == "deb" { print $2; exit }' "$1/etc/apt/sources.list")
  echo "deb $mirror $release-updates main" >>"$1/etc/apt/sources.list"
  [ -n "${DEBIAN_MIRROR:-}" ] ||
    echo "deb $mirror-security $release-security main" >>"$1/etc/apt/sources.list"
  rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*
  for what in doc man info locale; do # "slim"
    rm -rf "$1/usr/share/$what"/*
    echo "path-exclude /usr/share/$what/*" >>"$1/etc/dpkg/dpkg.cfg.d/slim"
  done
}

program() { # NAME: the image of Dockerfile.NAME with the program in target/release
  local name=stockwatch-$1 program=$root/target/release/stockwatch-$1
  [ -e "$program" ] || { say "$program is missing: cargo build --release --workspace"; return 1; }
  newer_than "$1-$tag" "$program" "$root"/{Dockerfile.$1,LICENSE,Cargo.lock,notices.sh,sbom.sh} || {
    local stage; stage=$(mktemp -d "$out/stage.XXXXXX")
    strip -o "$stage/$name" "$program"
    "$root/notices.sh" "$name" >"$stage/THIRD-PARTY"
    "$root/sbom.sh" "$name" >"$stage/sbom.cdx.json"
    mkdir "$stage/src"
    cp "$root/LICENSE" "$stage/src"
    find "$stage" -exec touch -d @0 {} + # the same files are the same layers
    image "$1-$tag" "$name:$tag" -f "$root/Dockerfile.$1" --build-context build="$stage" --target runtime "$stage"
  }
  echo "$out/$1-$tag.tar"
}

kafka() { # the chart's development broker
  local libs version; libs=$("$root/tests/kafka/kafka.sh" jars)
  version=$(basename "$(dirname "$libs")") version=${version#kafka-}
  newer_than "kafka-$version" "$libs" "$root"/tests/kafka/{Dockerfile,log4j2.yaml,bin/*} || {
    local stage; stage=$(mktemp -d "$out/stage.XXXXXX")
    cp -r "$libs" "$root/tests/kafka/bin" "$stage"
    cp "$root/tests/kafka/log4j2.yaml" "$stage/bin"
    image "kafka-$version" "stockwatch-test-kafka:$version" -f "$root/tests/kafka/Dockerfile" "$stage"
  }
  echo "$out/kafka-$version.tar"
}

size() { # ARCHIVE: the sum of all layers but the first
  local layer sum=0
  for layer in $(tar -xOf "$1" manifest.json | grep -o '"Layers":\[[^]]*' | grep -o '[0-9a-f]*\.tar' | tail -n +2); do
    sum=$((sum + $(tar -xOf "$1" "$layer" | wc -c)))
  done
  echo $sum
}

newer_than() { # ARCHIVE FILE...
  local file
  for file in "${@:2}"; do [ "$out/$1.tar" -nt "$file" ] || return 1; done
}

image() { # ARCHIVE IMAGE WHAT_TO_BUILD... STAGE, which is removed
  local stage=${*: -1} full=docker.io/library/$2
  in_store bud -q --layers --pull-never --isolation chroot --build-arg DEBIAN="$release" \
    --build-arg BUILD_IMAGE="rust:1-$release" --build-arg RUNTIME_IMAGE="debian:$release-slim" -t "$full" "${@:3}" >>"$logs" 2>&1
  in_store push -q "$full" "docker-archive:$stage/image.tar:$full" >>"$logs" 2>&1
  mv "$stage/image.tar" "$out/$1.tar"
  rm -r "$stage"
}

case ${1:-} in
  size) size "$out/${2:?operator or worker}-$tag.tar" ;;
  clean) in_store rmi -a -f >/dev/null 2>&1 || true; rm -rf "$store" ;;
  '') sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
  *)
    need buildah "cluster.sh packages installs it"
    need debootstrap "cluster.sh packages installs it"
    mkdir -p "$store" "$out"
    exec 9>"$out/lock" # tests build images side by side
    flock 9
    : >"$logs"
    trap 'rc=$?; rm -rf "$out"/stage.*; [ $rc = 0 ] || { say "no image: the end of $logs:"; tail -n 15 "$logs" >&2; }' EXIT
    base
    for name in "$@"; do
      case $name in
        operator | worker) program "$name" ;;
        kafka) kafka ;;
        *) say "no image $name"; exit 2 ;;
      esac
    done ;;
esac
