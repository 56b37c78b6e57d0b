"""The manifests of deploy/kubernetes are valid, and what they name is there: commands, settings, paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from tailmetrics.api.routes import probes
from tailmetrics.cli.commands import main
from tailmetrics.settings import Settings
from tailmetrics.urls import StoreUrl
from tailmetrics.urls.kafka import KafkaUrl
from tests.deploy.test_cluster import ROOT, SERVICES

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.31", "1.37")
# What operators bring; they alone know whether it is valid.
CUSTOM = ("keda.sh", "kafka.strimzi.io", "clickhouse.altinity.com", "clickhouse-keeper.altinity.com")

Manifest = dict[str, Any]


def manifests(*names: str) -> Iterator[Manifest]:
    """Those of the files that these folders' kustomizations list, and of folders they build on."""
    for name in names:
        kustomization = yaml.safe_load((FOLDER / name / "kustomization.yaml").read_text())
        for resource in kustomization["resources"]:
            path = FOLDER / name / resource
            if path.is_dir():
                yield from manifests(str(path.resolve().relative_to(FOLDER)))
            else:
                yield from yaml.safe_load_all(path.read_text())


ALL = [
    *manifests("base"),
    *manifests("ship"),
    *(each for each in manifests("lag") if each["apiVersion"].startswith("keda")),
]
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
WORKLOADS = [each for each in ALL if each["kind"] in {"Deployment", "DaemonSet", "StatefulSet"}]
NAMES = [each["metadata"]["name"] for each in WORKLOADS]


def named(kind: str, name: str) -> Manifest:
    [found] = [each for each in ALL if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod_of(workload: Manifest) -> dict[str, Any]:
    pod: dict[str, Any] = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Manifest) -> dict[str, Any]:
    [container] = pod_of(workload)["containers"]
    return dict(container)


def environment_of(workload: Manifest) -> dict[str, str]:
    """Settings by name; what comes from a secret or from Kubernetes is empty."""
    container = container_of(workload)
    given: dict[str, str] = {}
    for source in container.get("envFrom", []):
        given |= named("ConfigMap", source["configMapRef"]["name"])["data"]
    return given | {each["name"]: each.get("value", "") for each in container.get("env", [])}


def test_every_file_is_in_a_kustomization_or_is_an_example() -> None:
    listed = set()
    for path in FOLDER.rglob("kustomization.yaml"):
        listed |= {(path.parent / name).resolve() for name in yaml.safe_load(path.read_text())["resources"]}
    assert {path for path in FILES if path.parent.name != "examples"} == {
        path for path in listed if path.is_file()
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_manifests_are_valid(path: Path, version: str) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        if manifest["apiVersion"].split("/")[0] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_its_command_and_options_are_those_of_the_program(workload: Manifest) -> None:
    name, *options = container_of(workload)["args"]
    assert isinstance(main, click.Group)
    command = main.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_its_settings_are_settings_and_can_be_used(workload: Manifest) -> None:
    environment = environment_of(workload)
    assert {name.lower() for name in environment} <= Settings.model_fields.keys()
    given = {name.lower(): value for name, value in environment.items() if value}
    assert Settings(_env_file=None, **given).model_fields_set == given.keys()  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_its_probes_ask_for_paths_that_are_answered_at_the_port_that_is_set(workload: Manifest) -> None:
    container, environment = container_of(workload), environment_of(workload)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [str(port) for port in ports.values()] == [
        value for name, value in environment.items() if name in {"API_PORT", "METRICS_PORT"}
    ]
    answered = {getattr(route, "path", "") for route in probes.router.routes}
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[kind]["httpGet"]
        assert asked["path"] in answered
        assert asked["port"] in ports
    annotations = workload["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] in environment.values()


@pytest.mark.parametrize("workload", WORKLOADS, ids=NAMES)
def test_it_has_no_more_rights_than_it_needs_and_limits(workload: Manifest) -> None:
    pod, container = pod_of(workload), container_of(workload)
    rights = container["securityContext"]
    assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True)
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert user is not None
    context = pod["securityContext"]
    if workload["kind"] == "Deployment":
        assert (context["runAsUser"], context["runAsGroup"]) == (int(user[1]), int(user[2]))
        assert context["runAsNonRoot"] is True
    else:
        assert "hostPath" in str(pod["volumes"]), "root is for who reads folders of the node"


@pytest.mark.parametrize(
    "name", [each["metadata"]["name"] for each in WORKLOADS if each["kind"] == "Deployment"]
)
def test_not_all_of_them_end_at_once(name: str) -> None:
    labels = named("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    budget = named("PodDisruptionBudget", name)["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["maxUnavailable"] == 1


def test_what_is_answered_when_it_is_told_to_end_has_the_time_that_it_may_take() -> None:
    serve = named("Deployment", "tailmetrics-serve")
    environment = environment_of(serve)
    asked = container_of(serve)["readinessProbe"]
    heard = asked["periodSeconds"] * asked["failureThreshold"]
    assert heard < float(environment["DRAIN_SECONDS"])
    longest = float(
        environment.get("QUERY_TIMEOUT_SECONDS", Settings.model_fields["query_timeout_seconds"].default)
    )
    grace = pod_of(serve)["terminationGracePeriodSeconds"]
    assert grace > float(environment["DRAIN_SECONDS"]) + longest
    in_containers = SERVICES["api_cluster1"]
    assert in_containers["stop_grace_period"] == f"{grace}s"
    assert str(in_containers["environment"]["DRAIN_SECONDS"]) == environment["DRAIN_SECONDS"]


def test_who_scales_it_says_how_many_there_are() -> None:
    replicas = {
        name: named("Deployment", name)["spec"].get("replicas") for name in NAMES if "ship" not in name
    }
    assert replicas == {"tailmetrics-ingest": 2, "tailmetrics-serve": None}
    scaler = named("HorizontalPodAutoscaler", "tailmetrics-serve")["spec"]
    assert (scaler["scaleTargetRef"]["name"], scaler["minReplicas"]) == ("tailmetrics-serve", 2)
    patches = yaml.safe_load((FOLDER / "lag/kustomization.yaml").read_text())["patches"]
    assert [(each["target"]["name"], yaml.safe_load(each["patch"])) for each in patches] == [
        ("tailmetrics-ingest", [{"op": "remove", "path": "/spec/replicas"}])
    ]


def test_the_lag_is_that_of_the_topic_and_group_which_are_read() -> None:
    url = KafkaUrl.parse(environment_of(named("Deployment", "tailmetrics-ingest"))["LOG_FILE_PATH"])
    scaled = named("ScaledObject", "tailmetrics-ingest")["spec"]
    [trigger] = scaled["triggers"]
    metadata = trigger["metadata"]
    assert (metadata["topic"], metadata["consumerGroup"]) == (url.topic, url.group)
    assert metadata["bootstrapServers"] == url.bootstrap.replace(".kafka:", ".kafka.svc:")
    examples = list(yaml.safe_load_all((FOLDER / "examples/strimzi.yaml").read_text()))
    [topic] = [each for each in examples if each["kind"] == "KafkaTopic"]
    assert topic["metadata"]["name"] == url.topic
    assert topic["spec"]["partitions"] == scaled["maxReplicaCount"]
    assert topic["spec"]["replicas"] == 3
    assert topic["spec"]["config"]["min.insync.replicas"] == 2
    [user] = [each for each in examples if each["kind"] == "KafkaUser"]
    assert user["metadata"]["name"] == url.user
    assert url.sasl.lower() == user["spec"]["authentication"]["type"]


def test_what_is_called_is_let_through_by_the_network_policy() -> None:
    policy = named("NetworkPolicy", "tailmetrics")["spec"]
    out = {
        (rule["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
        for rule in policy["egress"]
        for port in rule["ports"]
    }
    store = StoreUrl.parse(store_url())
    url = KafkaUrl.parse(environment_of(named("Deployment", "tailmetrics-ingest"))["LOG_FILE_PATH"])
    host, _, port = url.bootstrap.rpartition(":")
    assert out == {
        ("kube-system", 53),
        (host.rpartition(".")[2], int(port)),
        (str(store.host).rpartition(".")[2], store.port),
    }
    let_in = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    ports = {port["containerPort"] for each in WORKLOADS for port in container_of(each).get("ports", [])}
    assert let_in == ports


def store_url() -> str:
    """The example of STORE_URL that the page gives."""
    [found] = re.findall(r"url='(clickhouse://[^']+)'", (ROOT / "docs/scaling.md").read_text())
    return str(found)


def test_what_is_shipped_goes_to_the_topic_that_is_read_from_folders_that_are_mounted() -> None:
    environment = environment_of(named("DaemonSet", "tailmetrics-ship"))
    there = KafkaUrl.parse(environment_of(named("Deployment", "tailmetrics-ingest"))["LOG_FILE_PATH"])
    to = KafkaUrl.parse(environment["SHIP_TO"])
    assert (to.brokers, to.topic, to.user, to.ca_file) == (
        there.brokers,
        there.topic,
        there.user,
        there.ca_file,
    )
    mounts = container_of(named("DaemonSet", "tailmetrics-ship"))["volumeMounts"]
    folders = {mount["mountPath"]: mount.get("readOnly", False) for mount in mounts}
    assert folders["/var/log/pods"] is True
    assert environment["LOG_FILE_PATH"].startswith("/var/log/pods/")
    store = StoreUrl.parse(environment["SHIP_STORE_URL"])
    assert folders[str(store.path.parent)] is False
    assert {str(Path(path).parent) for path in (to.ca_file, to.password_file)} <= folders.keys()


def test_secrets_are_referred_to_and_the_page_says_how_each_is_made() -> None:
    assert "Secret" not in {each["kind"] for each in ALL}
    page = (ROOT / "docs/scaling.md").read_text()
    text = "".join(path.read_text() for path in FILES if path.parent.name in {"base", "lag", "ship"})
    used = set(re.findall(r"(?:secretKeyRef: \{name|secretName|parameter: \w+, name): ([\w-]+)", text))
    assert used == {"tailmetrics-store", "tailmetrics-kafka", "tailmetrics-api"}
    for name in used:
        assert f"create secret generic {name} " in page
    keys = set(re.findall(r"key: ([\w.-]+)\}", text))
    assert all(f"{key}=" in page for key in keys)


def test_the_image_of_clickhouse_is_that_of_compose() -> None:
    text = (FOLDER / "examples/altinity.yaml").read_text()
    [image] = re.findall(r"image: (\S+)", text)
    assert f":-{image}}}" in SERVICES["clickhouse11"]["image"]
