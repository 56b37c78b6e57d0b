"""The containers as far as they can be looked at without an engine; tests/stack runs them on one."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailmetrics.settings import Settings
from tests.paths import ROOT
from tests.test_scripts import Checkout

pytestmark = pytest.mark.slow

HADOLINT = Path(sys.executable).parent / "hadolint"
STORES = ("postgres", "mysql")
PROFILES = (*STORES, "rabbitmq", "grafana", "cluster")
BROKERS = tuple(f"kafka{number}" for number in (1, 2, 3))
KEEPERS = tuple(f"keeper{number}" for number in (1, 2, 3))
REPLICAS = tuple(f"clickhouse{shard}{replica}" for shard in (1, 2) for replica in (1, 2))
# Where a server's image and user are not named like it: the prefix of IMAGE, and the user.
ALIKE = {
    "prometheus": ("prometheus", "nobody"),
    "balancer": ("caddy", "nobody"),
    **dict.fromkeys(BROKERS, ("kafka", "appuser")),
    **dict.fromkeys((*KEEPERS, *REPLICAS), ("clickhouse", "clickhouse")),
}
CLUSTER = (
    *(*BROKERS, *KEEPERS, *REPLICAS, "log_sender_cluster", "balancer"),
    *(f"{part}{number}" for part in ("log_processor_cluster", "api_cluster") for number in (1, 2)),
)
SERVERS = ("influxdb", *STORES, "rabbitmq", "grafana", *ALIKE)
SERVICES = (
    "influxdb",
    "log_generator",
    "log_processor",
    "api",
    *(f"{part}{store}" for store in STORES for part in ("", "log_processor_", "api_")),
    "rabbitmq",
    "log_sender",
    "log_processor_rabbitmq",
    "prometheus",
    "grafana",
    *CLUSTER,
)
SECRETS = (
    *("INFLUXDB_TOKEN", "INFLUXDB_PASSWORD", "POSTGRES_PASSWORD", "MYSQL_PASSWORD", "RABBITMQ_PASSWORD"),
    *("GRAFANA_PASSWORD", "CLICKHOUSE_PASSWORD", "CLICKHOUSE_SECRET"),
)
IMAGES = ("BASE_IMAGE", *sorted({f"{ALIKE.get(name, (name,))[0].upper()}_IMAGE" for name in SERVERS}))

# What the scripts need of a machine, without docker.
_PROGRAMS = tuple(
    re.findall(r"\w+", "bash cat chmod dirname env find grep head id od rm sed sleep tail tr xargs")
)
# Stands in for docker: notes what it was asked, and answers that one container is as `health` says.
_DOCKER = """#!/bin/sh
printf '%s\\n' "$COMPOSE_PROFILES $*" >>calls
case "$*" in
    version*) {engine} ;;
    "compose version"*) {compose} ;;
    "compose up"*) {up} ;;
    "compose down"*) {down} ;;
    ps*) echo {found} ;;
    "compose ps"*) echo 1234 ;;
    "compose port"*) echo 127.0.0.1:8765 ;;
    inspect*) echo "api {health}" ;;
    "compose logs"*) echo "the api's words" ;;
esac
"""


# docker-compose.yml


def _compose() -> list[str]:
    """The command of Compose; it needs no engine to read a file."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            found = subprocess.run([*command, "version"], capture_output=True, check=False)
            if found.returncode == 0:
                return command
    pytest.fail("Found no Compose. On Debian and Ubuntu: sudo apt-get install docker-compose")


def _services(*profiles: str, **environment: str) -> dict[str, Any]:
    """The services as Compose understands them."""
    done = subprocess.run(
        [*_compose(), *(part for name in profiles for part in ("--profile", name)), "config"],
        cwd=ROOT,
        env={**{key: os.environ[key] for key in os.environ.keys() - {*SECRETS, *IMAGES}}, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return services


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """All services, those of profiles too, with each setting's name in lower case as its value."""
    return _services(*PROFILES, **{name: name.lower() for name in (*SECRETS, *IMAGES)})


def test_the_file_is_accepted_without_any_setting() -> None:
    assert {"influxdb", "log_generator", "log_processor", "api"} <= _services().keys()


def test_the_services_are_these(services: dict[str, Any]) -> None:
    assert set(services) == set(SERVICES)


def test_a_profile_adds_its_server_and_what_uses_it(services: dict[str, Any]) -> None:
    added = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert added == {
        **{f"{part}{name}": [name] for name in STORES for part in ("", "log_processor_", "api_")},
        **{name: ["rabbitmq"] for name in ("rabbitmq", "log_sender", "log_processor_rabbitmq")},
        **{name: ["grafana"] for name in ("prometheus", "grafana")},
        **{name: ["cluster"] for name in CLUSTER},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_started_again(services: dict[str, Any], name: str) -> None:
    assert services[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name in SERVICES if not name.startswith("log_sender")])
def test_a_service_says_whether_it_is_well(services: dict[str, Any], name: str) -> None:
    assert services[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(services: dict[str, Any], name: str) -> None:
    service = services[name]
    rights = (service["read_only"], service["cap_drop"], service["security_opt"])
    assert rights == (True, ["ALL"], ["no-new-privileges:true"])


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_does_not_run_as_root(services: dict[str, Any], name: str) -> None:
    assert services[name]["user"] == ALIKE.get(name, (name, name))[1]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits(services: dict[str, Any], name: str) -> None:
    assert {"mem_limit", "cpus", "pids_limit"} <= services[name].keys()


def test_ports_are_published_on_the_loopback_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    addresses = [port["host_ip"] if isinstance(port, dict) else port.split(":")[0] for port in ports]
    assert addresses == ["127.0.0.1"] * 6


def test_the_console_of_rabbitmq_is_in_its_image_and_has_a_port() -> None:
    service = _services("rabbitmq")["rabbitmq"]
    assert service["image"].endswith("-management")
    assert "15672" in str(service["ports"])


def test_a_number_of_lines_does_not_hold_for_generators_that_are_started_again(
    services: dict[str, Any],
) -> None:
    assert str(services["log_generator"]["environment"]["MAX_LOGS_TO_GENERATE"]) == "0"
    for sender in ("log_sender", "log_sender_cluster"):
        assert services[sender]["command"][-2:] == ["--max-logs", "0"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name.startswith(("log_processor", "api"))])
def test_what_uses_a_server_waits_until_it_is_healthy(services: dict[str, Any], name: str) -> None:
    suffix = name.rpartition("_")[2]
    server = suffix if suffix in STORES else "influxdb"
    for waited_for in REPLICAS if name in CLUSTER else [server]:
        assert services[name]["depends_on"][waited_for]["condition"] == "service_healthy"
    server = "clickhouse" if name in CLUSTER else server
    assert f"@{server}:" in services[name]["environment"]["STORE_URL"].replace("//influxdb:", "@influxdb:")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_from_the_environment(services: dict[str, Any], name: str) -> None:
    values = [value for service in services.values() for value in service.get("environment", {}).values()]
    assert any(name.lower() in str(value) for value in values)


@pytest.mark.parametrize("name", SERVERS)
def test_the_image_of_a_server_can_be_set(services: dict[str, Any], name: str) -> None:
    assert services[name]["image"] == f"{ALIKE.get(name, (name,))[0]}_image"


def test_the_base_of_the_other_images_can_be_set(services: dict[str, Any]) -> None:
    bases = [service["build"]["args"]["BASE_IMAGE"] for service in services.values() if "build" in service]
    assert bases == ["base_image"] * (len(SERVICES) - len(SERVERS))


# Dockerfile


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_and_the_compose_file_name_the_same_base() -> None:
    base = re.search(r"^ARG BASE_IMAGE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    assert f"${{BASE_IMAGE:-{base[1]}}}" in (ROOT / "docker-compose.yml").read_text()


# start.sh --docker and cleanup.sh


class Machine(Checkout):
    """A checkout on a machine with the programs the scripts need, and docker only when it is put there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in _PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name) or name)

    def put_docker(self, **answers: str) -> None:
        good = dict.fromkeys(("engine", "compose", "up", "down"), "true")
        usual = {**good, "health": "healthy", "found": ""}
        docker = self.programs / "docker"
        docker.write_text(_DOCKER.format(**{**usual, **answers}))
        docker.chmod(0o755)

    def _run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return super()._run(*command, PATH=str(self.programs), **environment)

    def calls(self) -> str:
        return (self.folder / "calls").read_text()

    def secrets(self) -> dict[str, str]:
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_docker_it_is_said_what_to_install_or_run(machine: Machine) -> None:
    done = machine.run("start.sh", "--docker")
    assert done.returncode == 1
    assert "apt-get install docker.io" in done.stderr and done.stderr.endswith("./start.sh\n")


def test_without_an_engine_it_is_said_how_to_start_it(machine: Machine) -> None:
    machine.put_docker(engine="false")
    done = machine.run("start.sh", "--docker")
    assert (done.returncode, "systemctl start docker" in done.stderr) == (1, True)


def test_without_compose_it_is_said_what_to_install(machine: Machine) -> None:
    machine.put_docker(compose="false")
    done = machine.run("start.sh", "--docker")
    assert (done.returncode, "apt-get install docker-compose" in done.stderr) == (1, True)


@pytest.mark.parametrize("answers", [{}, {"engine": "false"}, {"compose": "false"}])
def test_what_cannot_start_leaves_no_secrets(machine: Machine, answers: dict[str, str]) -> None:
    if answers:
        machine.put_docker(**answers)
    machine.run("start.sh", "--docker")
    assert not (machine.folder / ".env").exists()


def test_what_was_started_is_shown_at_the_usual_addresses(machine: Machine) -> None:
    machine.put_docker()
    done = machine.run("start.sh", "--docker", "--port", "8123")
    assert (done.returncode, done.stderr) == (0, "")
    for address in ("/", "/docs", "/customers/cust_1/stats"):
        assert re.search(rf"http://127\.0\.0\.1:8123{address}\W", done.stdout)


def test_profiles_are_handed_on(machine: Machine) -> None:
    machine.put_docker()
    machine.run("start.sh", "--docker", "--profile", "postgres", "--profile=mysql")
    assert "postgres,mysql compose up" in machine.calls()


@pytest.mark.parametrize("profile", STORES)
def test_the_address_of_a_profile_is_said(machine: Machine, profile: str) -> None:
    machine.put_docker()
    done = machine.run("start.sh", "--docker", "--profile", profile)
    assert "  http://127.0.0.1:8765/\n" in done.stdout


def test_the_console_of_rabbitmq_is_said_without_its_password(machine: Machine) -> None:
    machine.put_docker()
    done = machine.run("start.sh", "--docker", "--profile", "rabbitmq")
    assert "RabbitMQ    http://127.0.0.1:8765/, as tailmetrics" in done.stdout
    assert machine.secrets()["RABBITMQ_PASSWORD"] not in done.stdout


def test_the_password_of_grafana_is_said_where_it_is(machine: Machine) -> None:
    machine.put_docker()
    done = machine.run("start.sh", "--docker", "--profile", "grafana")
    assert "Grafana     http://127.0.0.1:8765/, as admin with GRAFANA_PASSWORD of .env" in done.stdout
    assert machine.secrets()["GRAFANA_PASSWORD"] not in done.stdout


def test_settings_that_do_not_hold_in_the_containers_are_named(
    machine: Machine, services: dict[str, Any]
) -> None:
    machine.put_docker()
    assert "do not hold" not in machine.run("start.sh", "--docker").stdout
    with (machine.folder / ".env.local").open("a") as file:
        file.writelines(f"{name.upper()}=7\n" for name in Settings.model_fields)
    named = re.search(r"do not hold here.*: (.*)", machine.run("start.sh", "--docker").stdout)
    ours = [service for service in services.values() if "build" in service]
    set_here = {name for service in ours for name in service.get("environment", {})}
    assert named is not None
    # The API is asked under the names that are set, and at the port; InfluxDB's are in STORE_URL.
    in_the_url = {"INFLUXDB_URL", "INFLUXDB_ORG", "INFLUXDB_BUCKET"}
    assert {*named[1].split(), "API_PORT", "API_ALLOWED_HOSTS"} == set_here | in_the_url


def test_secrets_are_random_and_for_their_owner_only(machine: Machine) -> None:
    machine.put_docker()
    machine.run("start.sh", "--docker")
    assert set(machine.secrets()) == set(SECRETS)
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in machine.secrets().values())
    assert len(set(machine.secrets().values())) == len(SECRETS)
    assert stat.S_IMODE((machine.folder / ".env").stat().st_mode) == 0o600


def test_secrets_are_made_once(machine: Machine) -> None:
    machine.put_docker()
    machine.run("start.sh", "--docker")
    before = machine.secrets()
    machine.run("start.sh", "--docker")
    assert machine.secrets() == before


@pytest.mark.parametrize("own", ["INFLUXDB_TOKEN=mine\n", "INFLUXDB_TOKEN=mine"])
def test_secrets_of_ones_own_are_kept(machine: Machine, own: str) -> None:
    machine.put_docker()
    (machine.folder / ".env").write_text(own)
    machine.run("start.sh", "--docker")
    assert (machine.secrets()["INFLUXDB_TOKEN"], set(machine.secrets())) == ("mine", set(SECRETS))


def test_git_ignores_the_secrets() -> None:
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize(
    "answers", [{"up": "false", "health": "unhealthy"}, {"up": "exit 17", "health": "starting"}]
)
def test_what_is_not_healthy_is_named_with_its_last_words(machine: Machine, answers: dict[str, str]) -> None:
    machine.put_docker(**answers)
    done = machine.run("start.sh", "--docker")
    assert (done.returncode, "the api's words" in done.stderr) == (1, True)
    assert "The last words of api are above" in done.stderr


def test_cleanup_removes_containers_volumes_and_secrets(machine: Machine) -> None:
    machine.put_docker()
    machine.run("start.sh", "--docker")
    done = machine.run("cleanup.sh", "--yes")
    assert "postgres,mysql,rabbitmq,grafana,cluster compose down --volumes" in machine.calls()
    assert (done.returncode, (machine.folder / ".env").exists()) == (0, False)


def test_cleanup_removes_no_containers_without_an_answer(machine: Machine) -> None:
    machine.put_docker()
    machine.run("start.sh", "--docker")
    done = machine.run("cleanup.sh")
    assert (done.returncode, "compose down" in machine.calls()) == (1, False)
    assert "  the containers of docker-compose.yml" in done.stdout


@pytest.mark.parametrize("answers", [{"engine": "false"}, {"down": "false"}])
def test_cleanup_keeps_the_secrets_of_containers_that_it_cannot_remove(
    machine: Machine, answers: dict[str, str]
) -> None:
    machine.put_docker()
    machine.run("start.sh", "--docker")
    machine.put_docker(**answers)
    done = machine.run("cleanup.sh", "--yes")
    assert (done.returncode, (machine.folder / ".env").exists()) == (1, True)


def test_cleanup_leaves_an_env_file_of_ones_own(machine: Machine) -> None:
    machine.put_docker()
    (machine.folder / ".env").write_text("MINE=1\n")
    machine.run("start.sh", "--docker")
    done = machine.run("cleanup.sh", "--yes")
    assert (done.returncode, "compose down" in machine.calls()) == (0, True)
    assert machine.secrets()["MINE"] == "1"


def test_cleanup_finds_containers_whose_secrets_were_removed(machine: Machine) -> None:
    machine.put_docker(found="1234")
    assert machine.run("cleanup.sh", "--yes").returncode == 0
    assert "compose down --volumes" in machine.calls()


def test_cleanup_asks_no_engine_when_there_were_no_containers(machine: Machine) -> None:
    (machine.folder / ".env").write_text("MINE=1\n")
    done = machine.run("cleanup.sh", "--yes")
    assert (done.returncode, done.stdout) == (0, "There is nothing to remove.\n")


# Makefile

TARGETS = ("build", "start", "ingest", "test", "fast", "influxdb-test", "package", "down", "help")


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_alone_shows_every_target() -> None:
    assert tuple(line.split()[0] for line in _make().stdout.splitlines()) == TARGETS


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["build"], "compose build"),
        (["start"], "./start.sh --docker"),
        (["start", "PORT=1", "PROFILES=a b"], "./start.sh --docker --port 1 --profile a --profile b"),
        (["ingest"], 'load "/input/requests-10k.log"'),
        (["ingest", "FILE=README.md"], 'load "/input/README.md"'),
        (["ingest"], "into the InfluxDB of the containers"),
        (["test"], "./run_tests.sh"),
        (["fast"], "./run_tests.sh --fast"),
        (["influxdb-test"], "python -m tools.influxdb_test"),
        (["down"], "compose down"),
        (["down"], f"COMPOSE_PROFILES={','.join(PROFILES)} "),
    ],
)
def test_a_target_runs_its_command(arguments: list[str], command: str) -> None:
    assert command in _make("-n", *arguments).stdout


@pytest.mark.parametrize("arguments", [["FILE="], ["FILE=/nonexistent"]])
def test_ingest_without_a_file_says_how(arguments: list[str]) -> None:
    done = _make("ingest", *arguments)
    assert (done.returncode, "make ingest FILE=" in done.stdout) == (2, True)
