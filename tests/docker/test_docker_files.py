"""Dockerfile, pinned packages and the laptop's services: what can be checked without an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.config import Config
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rsc.store.schema.engine import create_engine, upgrade

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
SERVICES = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
DASHBOARD = json.loads((DOCKER / "grafana" / "dashboards" / "runs.json").read_text())


def pinned() -> dict[str, str]:
    lines = [
        line
        for name in ("torch.txt", "requirements.txt")
        for line in (DOCKER / name).read_text().splitlines()
        if not line.startswith("#")
    ]
    assert len(lines) == len(set(lines))
    return dict(line.split("==") for line in lines) | {"torch": argument("TORCH_VERSION")}


def argument(name: str) -> str:
    """Return the default of a build argument."""
    (value,) = re.findall(rf"^ARG {name}=(\S+)$", DOCKERFILE, re.MULTILINE)
    return value


def command_on_path(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} was not on PATH, must be for this test")
        pytest.skip(f"{name} is not on PATH")
    return program


class TestImage:
    @pytest.mark.parametrize("text", PROJECT["dependencies"])
    def test_every_dependency_is_pinned_to_what_the_project_allows(self, text):
        needed = Requirement(text)
        assert needed.specifier.contains(pinned()[canonicalize_name(needed.name)])

    @pytest.mark.parametrize("text", PYPROJECT["build-system"]["requires"])
    def test_the_package_is_built_with_what_it_asks_for(self, text):
        """It is built without isolation: with the packages that are there."""
        needed = Requirement(text)
        assert needed.specifier.contains(pinned()[canonicalize_name(needed.name)])

    def test_the_labels_are_the_version_and_the_licence_of_the_project(self):
        assert argument("VERSION") == PROJECT["version"]
        assert f'image.licenses="{PROJECT["license"]}"' in DOCKERFILE

    def test_it_does_not_run_as_root(self):
        assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["1000:1000"]

    def test_code_comes_after_everything_that_is_large(self):
        stages = re.split(r"^FROM .* AS ", DOCKERFILE, flags=re.MULTILINE)[1:]
        named = {stage.split(maxsplit=1)[0]: stage for stage in stages}
        assert list(named) == ["base", "torch", "libraries", "kernels", "code", "runtime"]
        for name in ("base", "torch", "libraries"):
            assert "COPY rsc" not in named[name]
            assert "pyproject.toml" not in named[name]

    def test_everything_that_is_copied_is_in_the_context(self):
        allowed = [
            line[1:]
            for line in (ROOT / ".dockerignore").read_text().splitlines()
            if line.startswith("!")
        ]
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
            for source in line.split()[:-1]:
                assert any(ROOT.glob(source)), source
                assert any(source == one or source.startswith(f"{one}/") for one in allowed), source

    def test_kernels_need_no_code_but_what_is_copied_before_them(self, tmp_path):
        stage = DOCKERFILE.split(" AS kernels\n")[1].split("\nFROM ")[0]
        for line in re.findall(r"^COPY (rsc.*)$", stage, re.MULTILINE):
            source, target = line.split()
            place = tmp_path / target.removeprefix("/app/")
            for path in ROOT.glob(source):
                if path.is_dir():
                    shutil.copytree(path, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    place.mkdir(exist_ok=True)
                    shutil.copy(path, place)
        # An editable installation finds what was not copied: so it matters where a module lies.
        program = f"""
import runpy, sys
runpy.run_path({str(DOCKER / "warm_kernels.py")!r})
files = [one.__file__ for name, one in sys.modules.items() if name.startswith("rsc.")]
print(*(file for file in files if file and not file.startswith({str(tmp_path)!r})))
"""
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "RSC_KERNEL_CACHE": str(tmp_path)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout.split()) == (0, []), done.stderr

    def test_kernels_are_compiled_and_run_for_the_same_processor(self):
        assert re.findall(r"NUMBA_CPU_NAME=(\S+)", DOCKERFILE) == ["generic", "generic"]


class TestLaptopServices:
    def test_every_image_is_pinned_to_a_version(self):
        for name, service in SERVICES.items():
            assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", service["image"]), name

    def test_every_service_says_whether_it_is_well(self):
        assert all("healthcheck" in service for service in SERVICES.values())

    def test_ports_are_open_to_this_machine_alone(self):
        ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
        assert len(ports) == 4
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_mounted_files_exist(self):
        for service in SERVICES.values():
            for volume in service.get("volumes", ()):
                if volume.startswith("./"):
                    assert (DOCKER / volume.split(":")[0]).exists(), volume

    def test_grafana_reaches_the_services_with_their_own_words(self):
        text = (DOCKER / "grafana" / "datasources" / "rsc.yaml").read_text()
        sources = {one["uid"]: one for one in yaml.safe_load(text)["datasources"]}
        given = SERVICES["postgres"]["environment"]
        assert sources["records"]["user"] == given["POSTGRES_USER"]
        assert sources["records"]["jsonData"]["database"] == given["POSTGRES_DB"]
        assert sources["records"]["secureJsonData"]["password"] == given["POSTGRES_PASSWORD"]
        assert sources["records"]["url"].split(":")[0] in SERVICES
        assert sources["prometheus"]["url"] == "http://prometheus:9090"

    def test_the_commands_in_its_heading_use_its_passwords(self):
        text = (DOCKER / "compose.yaml").read_text()
        given = SERVICES["postgres"]["environment"]
        login = f"{given['POSTGRES_USER']}:{given['POSTGRES_PASSWORD']}"
        assert f"postgresql://{login}@127.0.0.1:5432/{given['POSTGRES_DB']}" in text
        keys = SERVICES["s3"]["environment"]
        assert f"AWS_ACCESS_KEY_ID={keys['ROOT_ACCESS_KEY']}" in text
        assert f"AWS_SECRET_ACCESS_KEY={keys['ROOT_SECRET_KEY']}" in text

    def test_a_training_that_prometheus_is_to_see_is_told_which_ray(self):
        """Without the address it starts one of its own, with its metrics somewhere else."""
        target = yaml.safe_load((DOCKER / "prometheus.yaml").read_text())["scrape_configs"][-1]
        port = target["static_configs"][0]["targets"][0].rpartition(":")[2]
        for name in ("prometheus.yaml", "compose.yaml"):
            text = (DOCKER / name).read_text()
            assert f"ray start --head --metrics-export-port={port}" in text
            assert "RAY_ADDRESS=auto rsc train" in text
        assert 'os.environ.get("RAY_ADDRESS")' in (ROOT / "rsc/training/ray_session.py").read_text()

    def test_compose_accepts_the_file(self):
        docker = command_on_path("docker")
        known = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
        if known.returncode != 0 and not os.environ.get("GITHUB_ACTIONS"):
            pytest.skip("docker has no compose; on the project's own runners it must have")
        command = [docker, "compose", "--file", str(DOCKER / "compose.yaml"), "config", "--quiet"]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr

    def test_prometheus_accepts_its_file(self):
        command = [command_on_path("promtool"), "check", "config", str(DOCKER / "prometheus.yaml")]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr

    def test_the_s3_server_starts_as_it_is_told_and_has_the_bucket(self, tmp_path):
        service = SERVICES["s3"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        command = [
            word.replace("/data", str(tmp_path)).replace("$$", "$")
            for word in service["entrypoint"]
        ]
        environment = os.environ | service["environment"] | {"VGW_PORT": address}
        command_on_path("versitygw")
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
            try:
                client = boto3.session.Session(
                    service["environment"]["ROOT_ACCESS_KEY"],
                    service["environment"]["ROOT_SECRET_KEY"],
                    region_name=service["environment"]["VGW_REGION"],
                ).client("s3", endpoint_url=f"http://{address}", config=Config(proxies={}))
                wait_until_it_answers(address)
                client.put_object(Bucket="rsc", Key="x/y", Body=b"1")
                assert client.get_object(Bucket="rsc", Key="x/y")["Body"].read() == b"1"
                client.close()
            finally:
                server.terminate()


def wait_until_it_answers(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"no server at {address} after 10 s")


class TestDashboard:
    def test_every_question_is_one_that_the_database_understands(self, postgres_database):
        engine = create_engine(postgres_database)
        upgrade(engine)
        questions = [
            target["rawSql"] for panel in DASHBOARD["panels"] for target in panel["targets"]
        ]
        questions += [one["query"] for one in DASHBOARD["templating"]["list"]]
        assert len(questions) == 7
        with engine.connect() as connection:
            for question in questions:
                connection.exec_driver_sql(question.replace("${run}", "no-such-run"))
        engine.dispose()

    def test_every_panel_asks_a_source_that_is_provisioned(self):
        text = (DOCKER / "grafana" / "datasources" / "rsc.yaml").read_text()
        known = {one["uid"] for one in yaml.safe_load(text)["datasources"]}
        assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} <= known
        assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])
