"""A database that goes away for good: the run ends with a sentence and goes on later."""

from __future__ import annotations

import pytest
from training_runs import small_tree, start_rsc, write_run_file

from rsc.audit.verify import verify_run
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import list_runs
from rsc.store.schema.engine import create_engine

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.xdist_group("fault")]

TRY_AGAIN_LATER = 4
IMPATIENT = """
from rsc.training.run import attempt
from rsc.training.trial import trial
trial.FLUSH_SECONDS, trial._OPTIONAL_FLUSH_SECONDS = 3.0, 0.5
attempt._LAST_PATIENCE_SECONDS = 0.5
"""


@pytest.mark.timeout(900)
def test_a_run_whose_postgres_went_away_for_good_ends_with_4_and_goes_on_when_it_is_back(
    own_server, tmp_path
):
    tree = small_tree()
    tree["training"] |= {"total_steps": 100_000, "iteration_steps": 4096}
    tree["recording"] = {"training_step_fraction": 0.2}
    write_run_file(tmp_path, tree)
    away = start_rsc("train", "run.yaml", folder=tmp_path, url=own_server.url, before=IMPATIENT)
    away.wait_for("validation 4")
    own_server.stop()
    errors = away.finish(code=TRY_AGAIN_LATER)
    assert "error: the database was away for more than 3 s; " in errors
    assert "Resume the run when the database is back." in errors
    assert "Traceback" not in errors
    assert list(tmp_path.glob("runs/*/spool/*"))  # what nobody could take yet

    own_server.start()
    start_rsc("train", "--resume", "last", folder=tmp_path, url=own_server.url).finish()
    engine = create_engine(own_server.url)
    (run,) = list_runs(engine)
    assert (run.state, run.attempt) == ("completed", 2)
    outcomes = [one.outcome for one in list_attempts(engine, run.run_id)]
    assert outcomes == ["lost", "completed"]
    assert verify_run(engine, run.run_id).findings == ()
    engine.dispose()
