# shellcheck shell=bash
# What the scripts share about the containers of docker-compose.yml. Sourced after environment.sh.

secrets=.env
secrets_mark='# Below: secrets for docker-compose.yml, made by ./start.sh --docker.'
profiles='postgres mysql rabbitmq grafana cluster'

without_docker="Or show the same demo without containers: ./start.sh"

# Sets `compose` to the command of Compose: the plugin of docker, or the older program of its own.
find_compose() {
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    elif command -v docker-compose >/dev/null 2>&1; then
        compose=(docker-compose)
    else
        return 1
    fi
}

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

require_docker() {
    command -v docker >/dev/null 2>&1 ||
        fail "Found no docker, expected Docker with Compose. Ways to get them:
  Debian, Ubuntu   sudo apt-get install docker.io docker-compose
  Fedora           sudo dnf install moby-engine docker-compose
  macOS, Windows   https://docs.docker.com/desktop/
$without_docker"
    engine_answers ||
        fail "Found docker, but no engine that answers: $(docker version --format '{{.Server.Version}}' 2>&1 >/dev/null)
Start it (sudo systemctl start docker), or let this user talk to it (sudo usermod -aG docker $(id -un), then log in
again). $without_docker"
    find_compose ||
        fail "Found docker, but no Compose. On Debian and Ubuntu: sudo apt-get install docker-compose
$without_docker"
}

# Writes the secrets that are missing, each once: changed ones would not be those of the servers' volumes.
make_secrets() {
    local name
    [ -e "$secrets" ] || (umask 077 && : >"$secrets")
    chmod 600 "$secrets"
    # The end of a file of the user's own may be an unfinished line.
    [ -z "$(tail -c 1 "$secrets")" ] || printf '\n' >>"$secrets"
    was_started || printf '%s\n' "$secrets_mark" >>"$secrets"
    for name in INFLUXDB_TOKEN INFLUXDB_PASSWORD POSTGRES_PASSWORD MYSQL_PASSWORD RABBITMQ_PASSWORD GRAFANA_PASSWORD \
        CLICKHOUSE_PASSWORD CLICKHOUSE_SECRET; do
        grep -q "^$name=" "$secrets" || printf '%s=%s\n' "$name" "$(random_text)" >>"$secrets"
    done
}

random_text() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# was_started: whether there may be containers or volumes, as the secrets for them were made.
was_started() { grep -qxF "$secrets_mark" "$secrets" 2>/dev/null; }

# Whether there are containers, even if their secrets were removed.
has_containers() {
    [ -n "$(docker ps --all --quiet --filter "label=com.docker.compose.project.working_dir=$PWD" 2>/dev/null)" ]
}

# secrets_are_ours: whether the file holds nothing of the user's own.
secrets_are_ours() { [ "$(head -n 1 "$secrets" 2>/dev/null)" = "$secrets_mark" ]; }

# start_containers PORT PROFILES: builds and starts the stack, and waits until it answers.
start_containers() {
    local port=$1 chosen=$2 profile
    require_docker
    make_secrets
    say_what_does_not_hold LOG_FILE_PATH=data/requests.log STORE_URL=duckdb:///data/tailmetrics.duckdb NODE_ID= \
        INFLUXDB_URL=http://localhost:8086 INFLUXDB_ORG= INFLUXDB_BUCKET=tailmetrics INFLUXDB_TOKEN= \
        API_HOST=127.0.0.1 METRICS_HOST=127.0.0.1 METRICS_PORT=9464 METRICS_CUSTOMERS_MAX=0 MAX_LOGS_TO_GENERATE=0 \
        DRAIN_SECONDS=0
    export API_PORT=$port
    # shellcheck disable=SC2086  # one word a profile
    COMPOSE_PROFILES=$(separated_by_commas $chosen)
    DEMO_PACE=$(demo_pace 1)
    export COMPOSE_PROFILES DEMO_PACE
    "${compose[@]}" up --detach --build --remove-orphans || not_started "Compose ended with status $?."
    # Keepers, servers, brokers and what uses them start one after the other.
    case " $chosen " in *' cluster '*) await_health 360 ;; *) await_health 120 ;; esac
    show_addresses "$port"
    for profile in $chosen; do
        case $profile in
            postgres) say "  PostgreSQL  http://$("${compose[@]}" port api_postgres 8000)/" ;;
            mysql) say "  MariaDB     http://$("${compose[@]}" port api_mysql 8000)/" ;;
            rabbitmq) say "  RabbitMQ    http://$("${compose[@]}" port rabbitmq 15672)/, as tailmetrics with RABBITMQ_PASSWORD of $secrets;
              its logs are read into InfluxDB too" ;;
            cluster) say "  Cluster     http://$("${compose[@]}" port balancer 8000)/, through Kafka into ClickHouse" ;;
            grafana) say "  Grafana     http://$("${compose[@]}" port grafana 3000)/, as admin with GRAFANA_PASSWORD of $secrets" ;;
        esac
    done
    say "
The containers go on when this script has ended.

  Logs        ${compose[*]} logs --follow log_processor
  Stop        ${compose[*]} stop
  Remove      ./cleanup.sh"
}

remove_containers() {
    # shellcheck disable=SC2086  # one word a profile
    COMPOSE_PROFILES=$(separated_by_commas $profiles) "${compose[@]}" down --volumes --remove-orphans --rmi local
}

separated_by_commas() { local IFS=,; printf '%s\n' "$*"; }

# await_health SECONDS: until every container is healthy.
await_health() {
    local until=$((SECONDS + $1))
    while [ -n "$(unhealthy)" ]; do
        [ "$SECONDS" -lt "$until" ] || not_started "Not everything was healthy within $1 seconds."
        sleep 0.5
    done
}

# The services whose containers are not healthy, one a line.
unhealthy() {
    local ids health
    # Where health is not looked at, and before a container was started, there is its status only.
    health='{{index .Config.Labels "com.docker.compose.service"}}'
    health="$health {{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}"
    ids=$("${compose[@]}" ps --all --quiet)
    [ -z "$ids" ] || printf '%s\n' "$ids" | xargs docker inspect --format "$health" | sed -n '/ healthy$/d; / running$/d; s/ .*//p'
}

# not_started REASON: says what the services that are not healthy said last.
not_started() {
    local services
    services=$(unhealthy)
    # shellcheck disable=SC2086  # one word a service
    [ -z "$services" ] || "${compose[@]}" logs --tail=15 $services >&2 || true
    fail "$1 ${services:+The last words of ${services//$'\n'/, } are above. }./cleanup.sh removes what was started."
}
