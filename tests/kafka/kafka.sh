#!/usr/bin/env bash
# Apache Kafka (KRaft) brokers from Maven Central's jars, several sets side by side.
#   kafka.sh up [BROKERS]            start 1 (default) or more brokers; prints the bootstrap servers
#   kafka.sh hold [BROKERS]          the same, and takes them down when standard input ends
#   kafka.sh stop|kill|start ID      stop (SIGTERM), kill (SIGKILL) or start one broker
#   kafka.sh empty ID                take all that a broker that has ended holds
#   kafka.sh pause|resume ID         SIGSTOP and SIGCONT one broker
#   kafka.sh fill|clear ID           fill one broker's disk to the last byte, and make room again (with KAFKA_DISK)
#   kafka.sh await-end ID            wait until one broker has ended by itself
#   kafka.sh tool CLASS ARGS...      run a Kafka tool, e.g. org.apache.kafka.tools.TopicCommand
#   kafka.sh jars                    print the directory of Kafka's jars
#   kafka.sh down                    kill the brokers and remove all that they left
# KAFKA_DIR holds data and logs (/tmp/stockwatch-kafka), KAFKA_HOST is the address they listen on (127.0.0.1).
# KAFKA_PORT is the first port (19092): broker I takes KAFKA_PORT+3(I-1) and the two after it, for clients,
# for the controllers and for clients by TLS. The last only with KAFKA_TLS=1: SASL_SSL, SCRAM-SHA-512, user
# and password KAFKA_USER (stockwatch) and KAFKA_PASSWORD (secret), certificates in KAFKA_DIR/tls; ACLs hold there.
# With keys in KAFKA_DIR/jwks.json also OAUTHBEARER, for tokens of the audience kafka.
# KAFKA_JVM are the brokers' JVM options (little memory and little compilation, since brokers of tests live for minutes).
# With KAFKA_DISK, say 300m, each has a disk of that size (root only).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${KAFKA_DIR:-/tmp/stockwatch-kafka}
address=${KAFKA_HOST:-127.0.0.1}
first=${KAFKA_PORT:-19092}
tls=${KAFKA_TLS:-}
jvm=${KAFKA_JVM:--Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}
disk=${KAFKA_DISK:-}
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
libs=${XDG_CACHE_HOME:-$HOME/.cache}/stockwatch/kafka-$version/libs
# Kafka's classes as this JVM has them in memory once a broker has started.
classes=${libs%/*}/classes-$(stat -Lc %Y-%s "$(command -v java)").jsa

jars() { # fetched once, whole or not at all: several scripts may start together
  [ -d "$libs" ] && return
  mkdir -p "${libs%/*}"
  local new; new=$(mktemp -d "$libs.XXXXXX")
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$new" >&2 || { rm -rf "$new"; return 1; }
  mv -T "$new" "$libs" 2>/dev/null || rm -rf "$new"
}
archive() { # written once: with it a start costs half the processor time (class data sharing)
  [ -e "$classes" ] && return
  exec 7>"${libs%/*}/classes.lock"
  flock 7
  [ -e "$classes" ] || (
    dir=$(mktemp -d) first=$((20000 + RANDOM % 10000)) tls='' disk='' jvm="$jvm -XX:ArchiveClassesAtExit=$classes.new"
    trap down EXIT
    begin 1 >/dev/null && finish 1 TERM
  ) && mv "$classes.new" "$classes" || echo "kafka: starting without shared classes" >&2
  exec 7>&-
}
java_() { exec java ${archived:+"-XX:SharedArchiveFile=$archived"} -cp "$libs/*" -Dlog4j2.configurationFile="$here/log4j2.yaml" "$@"; } # ends the shell it runs in
port() { echo $((first + 3 * ($1 - 1))); }
pid() { cat "$dir/$1.pid" 2>/dev/null; }
alive() { # a zombie is not
  local state=
  read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" && [ "$state" != Z ]
}
start() {
  java_ $jvm "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://$dir/jwks.json" kafka.Kafka "$dir/$1.properties" >>"$dir/$1.log" 2>&1 </dev/null &
  local pid=$!
  echo $pid >"$dir/$1.pid"
  for _ in $(seq 720); do
    (echo >"/dev/tcp/$address/$(port "$1")") 2>/dev/null && return
    alive "$pid" || break
    sleep 0.25
  done
  echo "kafka: broker $1 did not start:" >&2
  tail -n 20 "$dir/$1.log" >&2
  return 1
}
format() { # CLUSTER_ID ID ARGS...
  (java_ kafka.tools.StorageTool format -t "$1" -c "$dir/$2.properties" "${@:3}" >/dev/null)
}
empty() { # ID
  local id; id=$(sed -n 's/^cluster.id=//p' "$dir/data-$1/meta.properties")
  rm -rf "$dir/data-$1"
  format "$id" "$1"
}
await_end() { # ID
  local pid; pid=$(pid "$1") || return 0
  for _ in $(seq 1800); do alive "$pid" || return 0; sleep 0.1; done
  echo "kafka: broker $1 goes on" >&2
  return 1
}
finish() { # ID SIGNAL
  local pid; pid=$(pid "$1") || return 0
  kill "-$2" "$pid" 2>/dev/null || return 0
  for _ in $(seq 300); do alive "$pid" || return 0; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
}
certificates() { # a CA, the brokers' certificate and a client's, as PEM files
  mkdir -p "$dir/tls"
  local name
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=stockwatch-test-ca \
    -keyout "$dir/tls/ca.key" -out "$dir/tls/ca.crt" 2>/dev/null
  for name in broker client; do
    openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout "$dir/tls/$name.key" -out "$dir/tls/$name.csr" 2>/dev/null
    openssl x509 -req -in "$dir/tls/$name.csr" -CA "$dir/tls/ca.crt" -CAkey "$dir/tls/ca.key" -CAcreateserial -days 30 \
      -extfile <(echo "subjectAltName=IP:$address,DNS:localhost") -out "$dir/tls/$name.crt" 2>/dev/null
  done
  cat "$dir/tls/broker.key" "$dir/tls/broker.crt" >"$dir/tls/broker.pem"
}
properties() { # ID BROKERS VOTERS
  local servers=PLAINTEXT://$address:$(port "$1") mechanisms=SCRAM-SHA-512 oauth=
  [ ! -e "$dir/jwks.json" ] || mechanisms=$mechanisms,OAUTHBEARER oauth=listener.name.sasl_ssl.oauthbearer
  [ -z "$tls" ] || servers=$servers,SASL_SSL://$address:$(($(port "$1") + 2))
  cat <<P
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$3
controller.listener.names=CONTROLLER
listeners=$servers,CONTROLLER://127.0.0.1:$(($(port "$1") + 1))
advertised.listeners=$servers
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data-$1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
default.replication.factor=$2
offsets.topic.replication.factor=$2
transaction.state.log.replication.factor=$2
transaction.state.log.min.isr=$((($2 + 1) / 2))
min.insync.replicas=$((($2 + 1) / 2))
P
  [ -z "$tls" ] || cat <<P
sasl.enabled.mechanisms=$mechanisms
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=$dir/tls/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/tls/ca.crt
ssl.client.auth=requested
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
P
  [ -z "$tls" ] || [ -z "$oauth" ] || cat <<P
$oauth.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
$oauth.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
$oauth.sasl.oauthbearer.jwks.endpoint.url=file://$dir/jwks.json
$oauth.sasl.oauthbearer.expected.audience=kafka
$oauth.sasl.oauthbearer.clock.skew.seconds=0
$oauth.connections.max.reauth.ms=3600000
P
}
up() {
  jars
  archive
  archived=$classes
  begin "$@"
}
begin() {
  local n=${1:-1} i voters= servers= starting=() user=() id
  id=$(head -c 16 /dev/urandom | base64 | tr '+/' ab | tr -d =)
  mkdir -p "$dir"
  [ -z "$disk" ] || for i in $(seq "$n"); do
    mkdir -p "$dir/data-$i"
    mount -t tmpfs -o "size=$disk" stockwatch-kafka "$dir/data-$i"
  done
  if [ -n "$tls" ]; then
    certificates
    user=(--add-scram "SCRAM-SHA-512=[name=${KAFKA_USER:-stockwatch},password=${KAFKA_PASSWORD:-secret}]")
  fi
  for i in $(seq "$n"); do
    voters=$voters${voters:+,}$i@127.0.0.1:$(($(port "$i") + 1)) servers=$servers${servers:+,}$address:$(port "$i")
  done
  for i in $(seq "$n"); do
    properties "$i" "$n" "$voters" >"$dir/$i.properties"
    format "$id" "$i" "${user[@]}"
    start "$i" & starting+=($!)
  done
  for i in "${starting[@]}"; do wait "$i"; done
  echo "$servers"
}
down() {
  local f
  for f in "$dir"/*.pid; do [ -e "$f" ] && finish "$(basename "$f" .pid)" KILL; done
  # Lazily: the kernel may still be ending threads of a killed broker.
  for f in "$dir"/data-*; do ! mountpoint -q "$f" || umount -l "$f"; done
  rm -rf "$dir"/data-* "$dir"/*.pid "$dir"/*.log "$dir"/*.properties "$dir"/tls "$dir"/jwks.json
  rmdir "$dir" 2>/dev/null || true
}

case ${1:-} in
  up) up "${2:-1}" ;;
  hold)
    trap down EXIT
    up "${2:-1}"
    cat >/dev/null ;;
  jars) jars; echo "$libs" ;;
  down) down ;;
  start) archived=$classes && start "$2" ;;
  empty) archived=$classes && empty "$2" ;;
  stop) finish "$2" TERM ;;
  kill) finish "$2" KILL ;;
  pause) kill -STOP "$(pid "$2")" ;;
  resume) kill -CONT "$(pid "$2")" ;;
  fill) cat /dev/zero >"$dir/data-$2/ballast" 2>/dev/null || true ;;
  clear) rm -f "$dir/data-$2/ballast" ;;
  await-end) await_end "$2" ;;
  tool) jars; archive; archived=$classes; java_ "${@:2}" ;;
  *) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
