# The node's namespaces and the processes in them. Sourced by cluster.sh.

begin() {
  # unshare stays as the parent of the first process, and takes it along when killed.
  setsid unshare --net --mount --pid --fork --kill-child --mount-proc "$bin/pause" \
    </dev/null >"$dir/logs/first.log" 2>&1 9>&- &
  echo $! >"$dir/run/first"
  disown
  wait_for first "the node's namespaces" namespaces
  # What containerd, its network plugins and the kubelet write to fixed places stays in here.
  inside mount --make-rshared /
  mkdir -p /var/lib/cni
  local place
  for place in /run /var/log /var/lib/cni; do inside mount -t tmpfs tmpfs $place; done
}
namespaces() { [ "$(inside readlink /proc/1/exe)" = "$bin/pause" ]; }

end() { # with the first process all others end, and with them the namespaces
  local first
  if first=$(first); then
    ip link del sw-host 2>/dev/null || true
    inside kill -TERM 1 2>/dev/null || true
    gone "$first" 100 || kill -KILL "$first" 2>/dev/null || true
    gone "$first" 100 || say "process $first does not end"
  fi
  find /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods -depth -type d -exec rmdir {} + 2>/dev/null || true
}

first() { # [DIRECTORY]: the process that holds the namespaces of the cluster there
  local pid; pid=$(cat "${1:-$dir}/run/first" 2>/dev/null) || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q '^unshare.*--kill-child' || return 1
  echo "$pid"
}
gone() { # PID TENTHS_OF_A_SECOND
  local tries state
  for tries in $(seq "$2"); do
    read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" && [ "$state" != Z ] || return 0
    sleep 0.1
  done
  return 1
}
inside() {
  local first; first=$(first) || { say "no cluster runs in $dir"; return 1; }
  nsenter --net="/proc/$first/ns/net" --mount="/proc/$first/ns/mnt" --pid="/proc/$first/ns/pid_for_children" -- "$@"
}

component() { # NAME COMMAND...: a child of the node's first process, which reaps it
  printf 'setsid' >"$dir/run/$1.sh"
  printf ' %q' "${@:2}" >>"$dir/run/$1.sh"
  printf ' </dev/null >>%q 2>&1 &\necho $! >%q\n' "$dir/logs/$1.log" "$dir/run/$1.pid" >>"$dir/run/$1.sh"
  start "$1"
}
start() { # NAME: as it was started before
  [ -e "$dir/run/$1.sh" ] || { say "no component $1"; return 1; }
  inside bash "$dir/run/$1.sh" 9>&-
}
signal() { # NAME SIGNAL
  local pid; pid=$(cat "$dir/run/$1.pid" 2>/dev/null) || { say "component $1 was not started"; return 1; }
  inside kill "-$2" "$pid" 2>/dev/null
}
finish() { # NAME SIGNAL: and waits until it has ended
  signal "$1" "$2" || return 0
  local tries
  for tries in $(seq 300); do signal "$1" 0 || return 0; sleep 0.1; done
  signal "$1" KILL || true
}

wait_for() { # COMPONENT WHAT COMMAND...: until the command succeeds, while the component runs
  local tries
  for tries in $(seq 600); do
    "${@:3}" >/dev/null 2>&1 && return 0
    [ ! -e "$dir/run/$1.pid" ] || signal "$1" 0 || break
    sleep 0.2
  done
  say "gave up waiting for $2:"
  tail -n 5 "$dir/logs/$1.log" >&2
  return 1
}
