"""The cluster commands as a person types them where no cluster is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from observations import read

from rsc.cli.app import main
from rsc.cli.commands import status

COMMANDS = ("plan", "submit", "status", "logs", "cancel")
ASK_A_CLUSTER = (("status",), ("logs", "x"), ("cancel", "x"))
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: train}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: none}}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    for name in ("RSC_DATABASE_URL", "RSC_NAMESPACE", "RSC_STORAGE_URI", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "run.yaml").write_text("name: small\ndata: {synthetic: {kind: mean_reversion}}\n")
    return tmp_path


@pytest.fixture
def rsc(folder, capsys):
    def run(*words):
        code = main(list(words))
        captured = capsys.readouterr()
        if "--json" not in words and "--dry-run" not in words:  # documents are not tables
            assert max(map(len, captured.out.splitlines()), default=0) <= 80
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_and_fits(rsc, command):
    code, out, _ = rsc(command, "--help")
    assert code == 0
    assert f"rsc {command}" in out.partition("Examples")[2]
    assert "--json" in out


def test_plan_shows_demand_pods_and_bounds(rsc):
    code, out, err = rsc(
        *("plan", "run.yaml", "--set", "resources.num_env_runners=2"),
        *("--price", "head=0.1", "--price", "learner=1", "--price", "sampler=0.05"),
    )
    assert (code, err) == (0, "")
    for words in (
        "env runner",
        "rsc_sampler 1",
        "learner",
        "submitter",
        "longest",
        "money at most",
    ):
        assert words in out


def test_plan_refuses_what_can_never_be(rsc):
    words = ("plan", "run.yaml", "--set", "resources.num_gpus_per_learner=1")
    code, _, err = rsc(*words)
    assert code == 1
    assert err.startswith("error: the trial asks CPU 1, rsc_main 1, GPU 1 of one pod, but learner")
    code, out, _ = rsc(*words, "--json")
    assert code == 1
    assert len(json.loads(out)["refusals"]) == 1
    assert rsc(*words, "--resource", "learner.nvidia.com/gpu=1")[0] == 0


def test_a_manifest_of_the_users_is_a_limit_that_stays(rsc, folder):
    _, text, _ = rsc("submit", "run.yaml", "--dry-run", "--samplers", "1")
    (folder / "own.yaml").write_text(text)
    words = ("plan", "run.yaml", "--set", "resources.num_env_runners=2", "--manifest", "own.yaml")
    code, _, err = rsc(*words)
    assert code == 1
    assert "resources.num_env_runners was 2, must be at most 1" in err
    assert rsc(*words, "--samplers", "2")[0] == 0


def test_dry_run_prints_what_kubectl_takes(folder, capsys):
    words = ("submit", "run.yaml", "--dry-run", "--run-id", "r7", "-n", "there")
    assert main([*words, "--storage", "s3://b/p"]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    rayjob = objects[-1]
    assert rayjob["metadata"]["name"] == "small-r7"
    assert {item["metadata"]["namespace"] for item in objects} == {"there"}
    assert not any(item["kind"] == "Secret" for item in objects)


@pytest.mark.parametrize(
    "words", [("status",), ("logs", "x"), ("cancel", "x"), ("submit", "run.yaml")]
)
def test_no_kubeconfig_is_one_sentence(rsc, folder, words):
    code, out, err = rsc(*words)
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == (
        f"error: kubeconfig {folder}/kubeconfig was not found, must exist to reach a cluster"
    )


def test_broken_kubeconfig_and_unknown_context_are_sentences(rsc, folder):
    (folder / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    code, _, err = rsc("status")
    assert code == 1
    assert "was not usable" in err.splitlines()[0]
    (folder / "kubeconfig").write_text(KUBECONFIG)
    code, _, err = rsc("status", "--context", "her")
    assert code == 1
    assert "--context was 'her', must be one of" in err
    assert "did you mean here?" in err


def test_unreachable_server_is_a_temporary_failure(rsc, folder):
    (folder / "kubeconfig").write_text(KUBECONFIG)
    code, _, err = rsc("status")
    assert code == 4
    assert err.startswith("error: the API server https://127.0.0.1:1 was not reachable (Connection")


def test_a_watched_run_that_failed_is_one_document_with_json(folder, capsys, monkeypatch):
    found = status._Status(
        observed=read("rayjob_that_the_operator_refuses"),
        recorded=None,
        progress=None,
        note="",
        prices={},
    )
    (folder / "kubeconfig").write_text(KUBECONFIG)
    monkeypatch.setattr(status, "find_rayjob", lambda *_: found.observed.rayjob)
    monkeypatch.setattr(status, "_watch", lambda *_, **__: found)
    code = main(["status", "x", "--watch", "--json"])
    captured = capsys.readouterr()
    assert code == 3
    assert json.loads(captured.out)["rayjob"] == found.observed.rayjob["metadata"]["name"]
    assert captured.err.startswith("error: run ")
    assert main(["status", "x", "--watch"]) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("plan", "none.yaml"), "none.yaml"),
        (("plan", "run.yaml", "--manifest", "none"), "none could not be read (No such file"),
        (("plan", "run.yaml", "--manifest", "run.yaml"), "without kind and name"),
        (("plan", "run.yaml", "--price", "head"), "--price was 'head', must be GROUP=MONEY"),
        (("plan", "run.yaml", "--price", "head=nan"), "--price was 'head=nan'"),
        (("plan", "run.yaml", "--resource", "x"), "--resource was 'x', must be GROUP.RESOURCE"),
        (("submit", "run.yaml", "--run-id", "A", "--dry-run"), "--run-id was 'A'"),
        (("logs", "x", "--follow", "--json"), "--follow was given with --json"),
    ],
)
def test_wrong_words_are_one_sentence(rsc, words, sentence):
    code, out, err = rsc(*words)
    assert (code, out[:1]) in {(1, ""), (1, "{")}
    assert sentence in err.splitlines()[0]


@pytest.mark.parametrize(
    "words", [("status",), ("logs", "x"), ("cancel", "x"), ("plan", "run.yaml")]
)
def test_commands_load_neither_ray_nor_torch(folder, words):
    (folder / "kubeconfig").write_text(KUBECONFIG)
    program = (
        "import sys; from rsc.cli.app import main; main(sys.argv[1:]);"
        "print([name for name in ('ray', 'torch', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_planning_needs_no_kubernetes_library(folder):
    program = (
        "import sys; from rsc.cli.app import main; main(['plan', 'run.yaml']);"
        "print('kubernetes' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_status_says_that_no_database_is_asked_unless_one_is_named(rsc):
    _, out, _ = rsc("status", "--help")
    assert "sqlite:///rsc.db" not in out
    assert "none is asked" in " ".join(out.replace("│", " ").split())
