"""What is in cluster/ is what Kubernetes, KubeRay, Ray, Docker and bash take for valid."""

import copy
import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import ray
import yaml

from pipelines.cli import passlaw

CLUSTER = Path(__file__).parents[2] / "cluster"
KUBERNETES = "1.32.0"
SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "ray.io.json").read_text())


def missing(tool):
    """Skip a test whose tool is not installed; where CI has to have it, fail."""
    said = f"{tool} is not installed: pip install --group cluster"
    if os.environ.get("PASSLAW_REQUIRE_CLUSTER_TOOLS") == "1":
        pytest.fail(said)
    pytest.skip(said)


def tool(name):
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or missing(name)


def manifests(*kinds) -> list[dict[str, Any]]:
    found = [
        manifest
        for path in sorted((CLUSTER / "kuberay").glob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text())
    ]
    return [manifest for manifest in found if not kinds or manifest["kind"] in kinds]


def named(manifest):
    return manifest["kind"]


def cluster_of(manifest):
    spec = manifest["spec"]
    return spec.get("jobTemplate", spec).get("rayClusterSpec", spec)


def templates(manifest):
    """Return the pods that a manifest of KubeRay describes."""
    spec = cluster_of(manifest)
    return [spec["headGroupSpec"]["template"]] + [
        group["template"] for group in spec["workerGroupSpecs"]
    ]


def check_ray(manifest):
    schema = {"$ref": f"#/definitions/{manifest['kind']}", **SCHEMAS}
    jsonschema.Draft7Validator(schema).validate(manifest["spec"])


def check_kubernetes(manifest):
    if find_spec("kubernetes_validate") is None:
        missing("kubernetes-validate")
    import_module("kubernetes_validate").validate(manifest, KUBERNETES, strict=True)


def as_pod(template):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod"} | template.get("metadata", {}),
        "spec": template["spec"],
    }


RAY = manifests("RayJob", "RayCronJob", "RayCluster")


class TestKubernetes:
    @pytest.mark.parametrize("manifest", RAY, ids=named)
    def test_what_kuberay_reads(self, manifest):
        assert manifest["apiVersion"] == "ray.io/v1"
        check_ray(manifest)

    @pytest.mark.parametrize("manifest", RAY, ids=named)
    def test_a_misspelt_field_is_found(self, manifest):
        wrong = copy.deepcopy(manifest)
        cluster_of(wrong)["headGroupSpec"]["rayStartParam"] = {}
        with pytest.raises(jsonschema.ValidationError, match="rayStartParam"):
            check_ray(wrong)

    @pytest.mark.parametrize("manifest", RAY, ids=named)
    def test_their_pods(self, manifest):
        for template in templates(manifest):
            check_kubernetes(as_pod(template))

    def test_a_misspelt_field_of_a_pod_is_found(self):
        pod = as_pod(copy.deepcopy(templates(RAY[0])[0]))
        pod["spec"]["containers"][0]["volumeMount"] = []
        with pytest.raises(Exception, match="volumeMount"):
            check_kubernetes(pod)

    @pytest.mark.parametrize("manifest", manifests("CronJob"), ids=named)
    def test_what_kubernetes_reads(self, manifest):
        check_kubernetes(manifest)

    def test_every_manifest_is_checked(self):
        assert len(manifests()) == len(RAY) + len(manifests("CronJob")) == 4

    def test_the_schedule_runs_the_job(self):
        """The nightly job is the one of rayjob.yaml, to the letter."""
        [job], [nightly] = manifests("RayJob"), manifests("RayCronJob")
        assert nightly["spec"]["jobTemplate"] == job["spec"]

    def test_the_cluster_that_stays_is_that_of_the_job(self):
        """But for the sweep, which the job mounts and the submitter sends."""
        [job], [stays] = manifests("RayJob"), manifests("RayCluster")
        of_job = copy.deepcopy(cluster_of(job))
        for template in templates(job | {"spec": {"rayClusterSpec": of_job}}):
            pod = template["spec"]
            pod["volumes"] = [each for each in pod["volumes"] if each["name"] != "sweeps"]
            for container in pod["containers"]:
                mounts = container["volumeMounts"]
                container["volumeMounts"] = [m for m in mounts if m["name"] != "sweeps"]
        assert stays["spec"] == of_job

    def test_one_submission_at_a_time(self):
        [nightly] = manifests("CronJob")
        assert nightly["spec"]["concurrencyPolicy"] == "Forbid"

    def test_jobs_of_a_schedule_give_way_to_each_other(self):
        """A RayCronJob starts one whether or not the last has ended."""
        [nightly] = manifests("RayCronJob")
        assert "--skip-if-running" in nightly["spec"]["jobTemplate"]["entrypoint"]

    @pytest.mark.parametrize("manifest", manifests(), ids=named)
    def test_no_secret_is_written_down(self, manifest):
        """What looks like one by its name comes from a secret of Kubernetes."""
        for variable in variables(manifest):
            if any(word in variable["name"] for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
                assert variable.keys() == {"name", "valueFrom"}
                assert variable["valueFrom"].keys() == {"secretKeyRef"}

    @pytest.mark.parametrize("manifest", RAY, ids=named)
    def test_ray_is_the_one_that_was_tested(self, manifest):
        constraints = (CLUSTER.parent / "constraints.txt").read_text().split()
        assert f"ray=={cluster_of(manifest)['rayVersion']}" in constraints


def variables(value):
    """Yield every environment variable of a manifest."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from item if key == "env" else variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from variables(item)


class TestCommands:
    """The commands that manifests give are ours, with options that they have."""

    @pytest.mark.parametrize(
        "line",
        [manifests("RayJob")[0]["spec"]["entrypoint"].split()]
        + [
            container["command"]
            for manifest in manifests("CronJob")
            for container in manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"][
                "containers"
            ]
        ],
        ids=" ".join,
    )
    def test_they_parse(self, line):
        program, verb, *arguments = line
        assert program == "passlaw"
        command = passlaw.get_command(click.Context(passlaw), verb)
        parsed = command.make_context(verb, list(arguments))
        assert str(parsed.params["target"]) == "/sweeps/sweep.yaml"


class TestLauncher:
    @pytest.fixture
    def config(self):
        return yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text())

    @pytest.fixture
    def schema(self):
        return json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())

    def test_it_is_what_the_launcher_takes(self, config, schema):
        jsonschema.validate(config, schema)

    def test_a_misspelt_field_is_found(self, config, schema):
        with pytest.raises(jsonschema.ValidationError, match="max_worker"):
            jsonschema.validate(config | {"max_worker": 3}, schema)

    def test_the_head_is_on_demand_and_the_workers_are_spot(self, config):
        types = config["available_node_types"]
        head = types.pop(config["head_node_type"])
        assert "InstanceMarketOptions" not in head["node_config"]
        for workers in types.values():
            assert workers["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


class TestShell:
    def test_scripts_are_sound(self):
        scripts = sorted(CLUSTER.rglob("*.sbatch")) + sorted(CLUSTER.rglob("*.sh"))
        assert scripts
        found = subprocess.run(
            [tool("shellcheck"), "--shell=bash", "--severity=style", *scripts],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout

    def test_dockerfiles_are_sound(self):
        found = subprocess.run(
            [tool("hadolint"), CLUSTER / "Dockerfile"], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout

    def test_the_crontab_queues_what_is_there(self):
        """Five fields of time, then our script, of which one runs at a time."""
        lines = (CLUSTER / "slurm/passlaw.scrontab").read_text().splitlines()
        [line] = [line for line in lines if line and not line.startswith("#")]
        *times, command = line.split(maxsplit=5)
        assert len(times) == 5
        assert all(set(each) <= set("0123456789*,-/") for each in times)
        assert "--dependency=singleton" in command
        [script] = [word for word in command.split() if word.endswith(".sbatch")]
        assert (CLUSTER.parent / script).is_file()
