"""A cluster by KUBECONFIG, services on this machine, a namespace for each test.

What must be there: KUBECONFIG of a cluster with the KubeRay operator, the image in it
(RSC_IMAGE), kubectl, helm and versitygw on PATH. Nothing here is ever skipped: whoever
asks for these tests wants to know.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helper modules of this folder

from platform_under_test import Namespace, image_name, reachable_address
from services import ObjectStore, Postgres
from training_under_test import long_config, rsc, undisturbed_digest

from rsc.market.prices.sources import read_bytes


@pytest.fixture(scope="session")
def host_address() -> str:
    """Where pods reach this machine."""
    return reachable_address()


@pytest.fixture(scope="session")
def image() -> str:
    """The image that the pods run; it must be in the cluster already."""
    return image_name()


@pytest.fixture(scope="session")
def postgres(host_address) -> Iterator[Postgres]:
    server = Postgres(host_address)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def prices(tmp_path_factory) -> Path:
    """Prices that no image brings along: the built-in ones without their last year, as Parquet."""
    path = tmp_path_factory.mktemp("prices") / "sp500.parquet"
    frame = pd.read_csv(BytesIO(read_bytes("builtin:sp500")), parse_dates=["Date"])
    frame.iloc[:-252].to_parquet(path)
    return path


@pytest.fixture(scope="session")
def objects(tmp_path_factory, host_address, prices) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path_factory.mktemp("objects"), host_address)
    rsc("data", "publish", f"SP500={prices}", f"s3://{store.bucket}/prices", objects=store)
    yield store
    store.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Let fixtures know whether their test failed, and how."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.failure = report.longreprtext if report.failed else ""


def pytest_terminal_summary(terminalreporter) -> None:
    """Print what the tests measured (`record_property`), also those of other processes."""
    reports = [one for found in terminalreporter.stats.values() for one in found]
    measured = [one for one in reports if getattr(one, "when", "") == "call"]
    lines = [
        f"{one.nodeid.rpartition('::')[2]}: {name}: {value}"
        for one in measured
        for name, value in one.user_properties
    ]
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture
def namespace(request, postgres, objects, image) -> Iterator[Namespace]:
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).removeprefix("test-")
    name = f"{words[:24].strip('-')}-{zlib.crc32(request.node.name.encode()):08x}"
    artifacts = Path(os.environ.get("RSC_E2E_ARTIFACTS", "e2e-artifacts"))
    subprocess.run(
        ["kubectl", "delete", "namespace", f"e2e-{name}", "--ignore-not-found", "--wait"],
        check=True,
        capture_output=True,
    )
    made = Namespace(
        name=f"e2e-{name}", postgres=postgres, objects=objects, image=image, artifacts=artifacts
    )
    yield made
    if failure := getattr(request.node, "failure", "the fixtures failed"):
        made.save(request.node.name, failure)
    if "RSC_E2E_KEEP" not in os.environ:
        made.delete()


@pytest.fixture(scope="session")
def long_digest(tmp_path_factory, objects) -> str:
    """Digest of the records of the long training when nothing disturbs it."""
    return undisturbed_digest(tmp_path_factory.mktemp("undisturbed"), long_config(), objects)
