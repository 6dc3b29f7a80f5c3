#!/usr/bin/env bash
# An Apache Kafka (KRaft) on 127.0.0.1 for the tests: one broker, or three, from jars in Maven Central.
#
# No data outlives a cluster: `start` begins with empty brokers, `stop` removes their data and keeps their logs.
# Only processes with a recorded id are ended, after a check that the id still is that of a broker started here.
set -euo pipefail

# The release that is started by default, and one of the oldest line that lanekeeper supports.
readonly KAFKA_NEWEST=4.1.1
readonly KAFKA_OLDEST=3.9.1
readonly KAFKA_VERSION=${LANEKEEPER_KAFKA_VERSION:-$KAFKA_NEWEST}
readonly READY_SECONDS_MAX=120

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/lib/processes.sh
. "$root/tests/lib/processes.sh"
# Absolute, because `is_broker` recognises a broker by the path of its server.properties.
home=${LANEKEEPER_KAFKA_DIR:-$root/.kafka}
case $home in /*) ;; *) home=$root/$home ;; esac
# Below the range from which a system takes the ports of outgoing connections (32768 and up on Linux). Such a connection
# would keep a broker from its port, and `need_free_ports` would not find it, because nothing listens there.
port_base=${LANEKEEPER_KAFKA_PORT:-19192}
jars=${XDG_CACHE_HOME:-$HOME/.cache}/lanekeeper/kafka-$KAFKA_VERSION
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

usage() {
  cat <<USAGE
usage: tests/kafka.sh COMMAND

  start [1|3]                            start so many brokers (1), print BOOTSTRAP=host:port[,…] when ready
  stop                                   end them, remove their data
  kill ID                                end one broker at once (SIGKILL); its data stays
  revive ID                              start a killed broker again, and wait until it is ready
  pause ID                               let one broker stand still (SIGSTOP)
  resume ID                              let it go on
  env                                    print BOOTSTRAP=… of the running cluster
  topic NAME [PARTITIONS [REPLICATION]]  create a topic (18 partitions, a copy on each broker)
  count NAME                             print the number of records appended to a topic
  certificate [NAME]                     print a certificate of the brokers (broker, expired or elsewhere; with LANEKEEPER_KAFKA_GUARDED=1)
  run CLASS ARGS…                        run a tool of Kafka's, e.g. org.apache.kafka.tools.TopicCommand

  LANEKEEPER_KAFKA_PORT   first port ($port_base); a broker takes two, the next broker starts 10 higher
  LANEKEEPER_KAFKA_DIR    data and logs ($home)
  LANEKEEPER_KAFKA_GUARDED=1
                          one broker with more listeners, rights, and a topic of offsets that
                          cannot be created: see \`guard\` in this script
  LANEKEEPER_KAFKA_VERSION
                          the release ($KAFKA_NEWEST); the oldest supported line is $KAFKA_OLDEST
  LANEKEEPER_KAFKA_PROPERTIES
                          more for the brokers' server.properties: NAME=VALUE …
  BOOTSTRAP               another cluster for \`topic\` and \`count\`

exit codes: 0 done · 2 bad usage · 3 the environment is not as needed
USAGE
}

is_version() { [[ $1 =~ ^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$ ]]; }

# ---- directory, ports and process of a broker ----

broker_dir() { printf '%s/broker-%s' "$home" "$1"; }
broker_port() { printf '%s' $((port_base + 10 * ($1 - 1))); }
controller_port() { printf '%s' $((port_base + 10 * ($1 - 1) + 1)); }

# Prints the ids of the brokers that were started here, running or not.
recorded() {
  local file id
  for file in "$home"/broker-*/pid; do
    [ -f "$file" ] || continue
    id=${file%/pid}
    printf '%s\n' "${id##*broker-}"
  done
}

# is_broker ID ARGUMENTS: succeeds if ARGUMENTS is the command line of broker ID.
is_broker() { [[ $2 == *kafka.Kafka*"$(broker_dir "$1")/server.properties"* ]]; }

# Prints the process id of broker $1; fails if that broker is not running.
live_pid() { recorded_pid "$(broker_dir "$1")/pid" is_broker "$1"; }

live_pids() {
  local id
  for id in $(recorded); do live_pid "$id" || true; done
}

# ---- Java, jars and ports ----

need_java() {
  local version
  command -v "$java" >/dev/null 2>&1 ||
    fail "there is no \`java\`" "install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
  version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  [ "${version:-0}" -ge 17 ] ||
    fail "Kafka $KAFKA_VERSION needs Java 17, \`java\` is version ${version:-unknown}" "install Java 17 or newer, or point JAVA_HOME at one"
}

# Fetches Kafka's jars once, first into a temporary directory, so that an incomplete download is never used.
need_jars() {
  [ -d "$jars" ] && return
  command -v mvn >/dev/null 2>&1 ||
    fail "there is no \`mvn\` to fetch Kafka $KAFKA_VERSION with" "install Maven (Debian: apt-get install maven)"
  local work
  mkdir -p "$(dirname "$jars")"
  work=$(mktemp -d "$jars.XXXXXX")
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>lanekeeper</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  echo "fetching Kafka $KAFKA_VERSION (about 54 MB, once)" >&2
  if ! mvn -q -B -Dstyle.color=never -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/jars" >"$work/log" 2>&1; then
    local last
    last=$(grep -m 1 ERROR "$work/log" || tail -n 1 "$work/log")
    rm -rf "$work"
    fail "Maven could not fetch Kafka $KAFKA_VERSION: $last" "check the network and Maven's proxy or mirror settings, then start again"
  fi
  # Kafka 3.9 depends on slf4j-reload4j. With it on the class path slf4j might not use slf4j-simple, which writes the
  # line that `is_ready` waits for.
  rm -f "$work"/jars/slf4j-reload4j-*.jar
  # If another process was faster, `mv` fails or moves into its directory; its jars are the same.
  mv "$work/jars" "$jars" 2>/dev/null || true
  rm -rf "$work" "${jars:?}/jars"
}

port_is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

need_free_ports() {
  local id port
  for id in "$@"; do
    for port in "$(broker_port "$id")" "$(controller_port "$id")"; do
      if port_is_open "$port"; then
        fail "port $port is taken by a process that was not started here" \
          "end that process, or choose other ports: LANEKEEPER_KAFKA_PORT=$((port_base + 1000)) tests/kafka.sh start"
      fi
    done
  done
}

# ---- start ----

# write_properties ID BROKERS: writes the server.properties of broker ID in a cluster of BROKERS brokers.
write_properties() {
  local id=$1 brokers=$2 voters='' voter
  for voter in $(seq "$brokers"); do
    voters+="${voters:+,}$voter@127.0.0.1:$(controller_port "$voter")"
  done
  local isr=$((brokers > 1 ? 2 : 1))
  # shellcheck disable=SC2086 # each property is an argument
  cat >"$(broker_dir "$id")/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$(broker_port "$id"),CONTROLLER://127.0.0.1:$(controller_port "$id")
advertised.listeners=PLAINTEXT://127.0.0.1:$(broker_port "$id")
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$(broker_dir "$id")/data
# Without automatic creation, a mistyped topic name is an error.
auto.create.topics.enable=false
default.replication.factor=$brokers
min.insync.replicas=$isr
offsets.topic.replication.factor=$brokers
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=$brokers
transaction.state.log.min.isr=$isr
transaction.state.log.num.partitions=8
# group.initial.rebalance.delay.ms stays at Kafka's default (3000), so that groups form as in production.
# Two hours are longer than any test; 1 GiB limits what a partition takes of the disk.
log.retention.hours=2
log.retention.bytes=1073741824
log.segment.bytes=134217728
$(printf '%s\n' ${LANEKEEPER_KAFKA_PROPERTIES:-})
PROPERTIES
}

# guard ID: extends the server.properties of a single broker with listeners that a user can get wrong, on the first port
# plus N:
#   +0 plaintext, all rights             +2 SASL (PLAIN): `admin` has all rights, `guest` has none
#   +3 TLS, a self-signed certificate    +4 plaintext, advertises a port on which nothing listens
#   +5 plaintext, advertises a host that does not exist
#   +6 SASL over TLS, each mechanism; a client has to log in again within two seconds
#   +7 TLS, an expired certificate       +8 TLS, a certificate for another host
#   +9 SASL over TLS, advertises a name that is not in its certificate
# An authorizer refuses what no ACL allows. The offsets topic cannot be created: it needs three replicas.
guard() {
  local dir port
  dir=$(broker_dir "$1") port=$(broker_port "$1")
  keypair "$dir" broker IP:127.0.0.1 -validity 2
  keypair "$dir" expired IP:127.0.0.1 -startdate -3d -validity 1
  keypair "$dir" elsewhere DNS:broker.example -validity 2
  local at=://127.0.0.1 listeners
  listeners=PLAINTEXT$at:$port,LOGIN$at:$((port + 2)),TLS$at:$((port + 3)),BOTH$at:$((port + 6)),OLD$at:$((port + 7)),OTHER$at:$((port + 8))
  local users='username="admin" password="admin-secret" user_admin="admin-secret" user_guest="guest-secret"'
  local package=org.apache.kafka.common.security listener store
  {
    cat <<PROPERTIES
listeners=$listeners,DEAD$at:$((port + 4)),ALIAS$at:$((port + 5)),MISNAMED$at:$((port + 9)),CONTROLLER$at:$(controller_port "$1")
advertised.listeners=$listeners,DEAD$at:9,ALIAS://no-such-host.invalid:$((port + 5)),MISNAMED://localhost:$((port + 9))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,TLS:SSL,DEAD:PLAINTEXT,ALIAS:PLAINTEXT,BOTH:SASL_SSL,OLD:SSL,OTHER:SSL,MISNAMED:SASL_SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.both.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.both.connections.max.reauth.ms=2000
listener.name.both.scram-sha-256.sasl.jaas.config=$package.scram.ScramLoginModule required;
listener.name.both.scram-sha-512.sasl.jaas.config=$package.scram.ScramLoginModule required;
listener.name.both.oauthbearer.sasl.jaas.config=$package.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="admin";
ssl.keystore.location=$dir/broker.p12
ssl.keystore.password=scratch
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
offsets.topic.replication.factor=3
PROPERTIES
    for listener in login both misnamed; do
      echo "listener.name.$listener.plain.sasl.jaas.config=$package.plain.PlainLoginModule required $users;"
    done
    for store in old=expired other=elsewhere; do
      echo "listener.name.${store%=*}.ssl.keystore.location=$dir/${store#*=}.p12"
      echo "listener.name.${store%=*}.ssl.keystore.password=scratch"
    done
  } >>"$dir/server.properties"
}

# keypair DIRECTORY NAME SAN MORE…: makes a self-signed certificate with its key, in DIRECTORY/NAME.p12. MORE are
# further arguments of keytool.
keypair() {
  local dir=$1 name=$2 san=$3
  rm -f "$dir/$name.p12"
  "${JAVA_HOME:+$JAVA_HOME/bin/}keytool" -genkeypair -alias broker -keyalg EC -dname "CN=$name" -ext "SAN=$san" "${@:4}" \
    -storetype PKCS12 -keystore "$dir/$name.p12" -storepass scratch >/dev/null 2>&1 ||
    fail "\`keytool\` could not make a certificate" "it comes with Java 17; set JAVA_HOME"
}

# certificate [NAME]: prints the certificate NAME (broker, expired or elsewhere) that `guard` has made, as PEM.
certificate() {
  local store
  store=$(broker_dir 1)/${1:-broker}.p12
  [ -f "$store" ] || fail "there is no such certificate in $home" "start one: LANEKEEPER_KAFKA_GUARDED=1 tests/kafka.sh start"
  "${JAVA_HOME:+$JAVA_HOME/bin/}keytool" -exportcert -rfc -alias broker -keystore "$store" -storepass scratch 2>/dev/null
}

# launch ID BROKERS: starts one broker in the background and records its process id.
launch() {
  local dir
  dir=$(broker_dir "$1")
  # Three brokers get less memory each, because they share the machine with the clients under test.
  local heap=(-Xms512m -Xmx1g)
  [ "$2" -eq 1 ] || heap=(-Xms512m -Xmx512m)
  # The options of the garbage collector are those of Kafka's own start script (kafka-run-class.sh).
  nohup "$java" "${heap[@]}" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
    -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true \
    -Dorg.slf4j.simpleLogger.showDateTime=true "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS" \
    -cp "$jars/*" kafka.Kafka "$dir/server.properties" >"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
}

format() {
  local dir
  dir=$(broker_dir "$1")
  local users=()
  if [ -n "${LANEKEEPER_KAFKA_GUARDED:-}" ]; then
    users=(--add-scram 'SCRAM-SHA-256=[name=admin,password=admin-secret]'
      --add-scram 'SCRAM-SHA-512=[name=admin,password=admin-secret]')
  fi
  "$java" -Xmx256m -cp "$jars/*" kafka.tools.StorageTool format -t "$2" -c "$dir/server.properties" \
    "${users[@]}" >"$dir/log" 2>&1 ||
    fail "broker $1 could not format its storage: $(last_line "$1")" "read $dir/log"
}

# last_line ID: prints the first error in the broker's log with the line after it (later errors are consequences), or
# the last line if there is no error.
last_line() {
  local log
  log=$(broker_dir "$1")/log
  { grep -E -A1 -m 1 'ERROR|error:' "$log" || tail -n 1 "$log"; } 2>/dev/null | tr '\n' ' '
}

# is_ready ID: Kafka writes this line when the broker is registered, unfenced and listening.
is_ready() { grep -q 'Kafka Server started' "$(broker_dir "$1")/log" 2>/dev/null && port_is_open "$(broker_port "$1")"; }

start() {
  local brokers=${1:-1} id ids
  [ "$brokers" = 1 ] || [ "$brokers" = 3 ] || bad_usage "\`$brokers\` brokers: 1 or 3 can be started"
  is_version "$KAFKA_VERSION" || bad_usage "LANEKEEPER_KAFKA_VERSION is \`$KAFKA_VERSION\`: a version like $KAFKA_NEWEST is needed"
  is_port "$port_base" || bad_usage "LANEKEEPER_KAFKA_PORT is \`$port_base\`: a number from 1024 to 65500 is needed"
  need_java
  need_jars
  [ -z "$(live_pids)" ] ||
    fail "a cluster is already running in $home" "use it (tests/kafka.sh env), or end it first: tests/kafka.sh stop"
  ids=$(seq "$brokers")
  # shellcheck disable=SC2086 # each id is an argument
  need_free_ports $ids
  forget
  trap stop_broken EXIT
  local cluster
  cluster=$(od -An -N11 -tx1 /dev/urandom | tr -d ' \n')
  for id in $ids; do
    mkdir -p "$(broker_dir "$id")"
    write_properties "$id" "$brokers"
    [ -z "${LANEKEEPER_KAFKA_GUARDED:-}" ] || guard "$id"
    # A cluster id is 16 bytes in base64url, 22 characters. Hexadecimal digits are such characters; the last is A,
    # because the four bits beyond 16 bytes must be zero.
    format "$id" "${cluster%?}A"
  done
  SECONDS=0
  for id in $ids; do launch "$id" "$brokers"; done
  for id in $ids; do
    await_ready "broker $id" "$READY_SECONDS_MAX" "$id" || fail "$trouble" "the whole log is $(broker_dir "$id")/log; is there memory and disk left?"
  done
  bootstrap_of_ids "$ids" >"$home/bootstrap"
  trap - EXIT
  printf 'BOOTSTRAP=%s\n' "$(cat "$home/bootstrap")"
}

bootstrap_of_ids() {
  local id list=''
  for id in $1; do list+="${list:+,}127.0.0.1:$(broker_port "$id")"; done
  printf '%s\n' "$list"
}

# Prints the bootstrap address of the running cluster; fails if one of its brokers is not running.
running_bootstrap() {
  local id
  [ -f "$home/bootstrap" ] || fail "no cluster is running in $home" "start one: tests/kafka.sh start"
  for id in $(recorded); do
    live_pid "$id" >/dev/null || fail "broker $id is no longer running: $(last_line "$id")" "start again: tests/kafka.sh stop; tests/kafka.sh start"
  done
  cat "$home/bootstrap"
}

# ---- break and restore one broker ----

# signal SIGNAL ID: sends SIGNAL to broker ID.
signal() {
  local pid
  if ! [[ ${2:-} =~ ^[1-3]$ ]]; then bad_usage "a broker from 1 to 3 is needed"; fi
  pid=$(live_pid "$2") || fail "broker $2 is not running" "start it: tests/kafka.sh revive $2"
  kill "-$1" "$pid"
}

# revive ID: starts a killed broker again, with its data; it recovers its logs.
revive() {
  if ! [[ ${1:-} =~ ^[1-3]$ ]]; then bad_usage "a broker from 1 to 3 is needed"; fi
  [ -f "$(broker_dir "$1")/server.properties" ] || fail "there is no broker $1 in $home" "start a cluster: tests/kafka.sh start 3"
  if live_pid "$1" >/dev/null; then fail "broker $1 is running" "kill it first: tests/kafka.sh kill $1"; fi
  need_java
  SECONDS=0
  launch "$1" 3
  await_ready "broker $1" "$READY_SECONDS_MAX" "$1" || fail "$trouble" "the whole log is $(broker_dir "$1")/log"
}

# ---- stop ----

# Removes data and recorded ids of all brokers, which are no longer running. Their logs stay.
forget() {
  local id
  for id in $(recorded); do rm -rf "$(broker_dir "$id")/data" "$(broker_dir "$id")/pid"; done
  rm -f "$home/bootstrap"
}

# When three brokers end together, the last two lose the controller's quorum and would wait for minutes to hand over
# their partitions. `end_all` therefore kills what is left after $STOP_SECONDS_MAX seconds.
stop() {
  end_all 'a broker'
  forget
}

# ---- tools ----

tool() {
  need_java
  need_jars
  "$java" -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$jars/*" "$@"
}

bootstrap() { if [ -n "${BOOTSTRAP:-}" ]; then printf '%s\n' "$BOOTSTRAP"; else running_bootstrap; fi; }

topic() {
  if [ $# -lt 1 ] || [ $# -gt 3 ]; then bad_usage "\`topic\` needs a name"; fi
  local address arguments
  address=$(bootstrap)
  arguments=(--create --topic "$1" --partitions "${2:-18}")
  # Without REPLICATION the broker's default.replication.factor applies.
  [ $# -lt 3 ] || arguments+=(--replication-factor "$3")
  tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$address" "${arguments[@]}"
}

# count NAME: prints the sum of the end offsets, as Kafka's own tool reads them, so that the count does not depend on
# the clients under test. Retention does not change the sum; markers of transactions would be counted as well.
count() {
  [ $# -eq 1 ] || bad_usage "\`count\` needs a topic"
  local address offsets
  address=$(bootstrap)
  # --topic is a regular expression, and the dot is the only character of a topic name with a meaning there. The tool
  # skips a partition that it cannot reach and still exits with 0, so its output is searched for "Skip".
  if ! offsets=$(tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$address" --topic "${1//./\\.}" --time latest 2>&1) ||
    grep -q '^Skip' <<<"$offsets"; then
    fail "the offsets of \`$1\` could not all be read from $address: $(head -n 1 <<<"$offsets")" \
      "do the topic and its brokers exist? tests/kafka.sh run org.apache.kafka.tools.TopicCommand --bootstrap-server $address --describe"
  fi
  awk -F: -v topic="$1" '$1 == topic { n += $3 } END { print n + 0 }' <<<"$offsets"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  start) start "$@" ;;
  stop) stop ;;
  kill) signal KILL "$@" ;;
  pause) signal STOP "$@" ;;
  resume) signal CONT "$@" ;;
  revive) revive "$@" ;;
  certificate) certificate "$@" ;;
  env)
    address=$(running_bootstrap)
    printf 'BOOTSTRAP=%s\n' "$address"
    ;;
  topic) topic "$@" ;;
  count) count "$@" ;;
  run)
    [ $# -ge 1 ] || bad_usage "\`run\` needs a class"
    tool "$@"
    ;;
  help | -h | --help) usage ;;
  '') bad_usage "no command" ;;
  *) bad_usage "there is no command \`$command\`" ;;
esac
