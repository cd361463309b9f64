"""The commands of the chart's README are ones that work when they are pasted."""

from __future__ import annotations

import re
import shlex

from chart_tools import CHART, Objects, run

RUN = "name: first\ndata: {manifest: s3://my-bucket/prices/manifest.json}\n"


def installs(tmp_path):
    """Return what each `helm install` of the README renders."""
    (tmp_path / "run.yaml").write_text(RUN)
    text = (CHART / "README.md").read_text().replace("\\\n", " ")
    for line in re.findall(r"^helm install .*$", text, re.MULTILINE):
        words = shlex.split(line.replace("run.yaml", str(tmp_path / "run.yaml")))
        done = run("helm", "template", *words[2:])
        assert done.returncode == 0, done.stderr
        yield Objects(done.stdout)


def test_a_training_and_a_reset_have_an_image_that_can_be_pulled(tmp_path):
    training, reset = installs(tmp_path)
    assert set(training.of("RayJob")) == {"rsc-train-r1"}
    assert reset.job("reset")
    for objects in (training, reset):
        images = {c["image"] for name, c in objects.containers() if name != "autoscaler"}
        assert images == {"registry.example/rsc:0.1.0"}


def test_the_secrets_of_the_readme_hold_no_verification_without_an_authority():
    """libpq would look for one in the home folder of the pod, and find none."""
    text = (CHART / "README.md").read_text()
    urls = re.findall(r"postgresql://\S+", text)
    assert urls
    assert not any("sslmode" in url for url in urls)
