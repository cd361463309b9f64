"""What the tables must say of a training whatever interrupted it, asked in plain SQL.

`rsc verify` shares its ideas with the program that wrote the rows; these questions do not. They
also hold where a digest cannot be compared, because an end in order closed open episodes.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import sqlalchemy as sa

ITERATIONS = """
SELECT iteration, environment_steps FROM iterations JOIN trials USING (trial_id)
WHERE run_id = :run_id ORDER BY iteration
"""
# The number of an episode in its training counts accounts first: account 0, 1, ... , 0, 1, ...
EPISODES = """
SELECT number % :accounts AS account, number / :accounts AS nth, iteration, step_count,
  sum(step_count) OVER (PARTITION BY number % :accounts ORDER BY number) - step_count AS begun
FROM (
  SELECT episode_id & 274877906943 AS number, iteration, episodes.step_count
  FROM episodes JOIN trials USING (trial_id) WHERE run_id = :run_id AND split = 'train'
) AS training ORDER BY number
"""


def accounts_of(config: dict[str, Any]) -> int:
    """Return how many accounts trade at once in a run of this configuration."""
    resources = config["resources"]
    return resources["num_env_runners"] * resources["num_envs_per_env_runner"]


def assert_unbroken(engine: sa.Engine, run_id: str) -> int:
    """Fail if an iteration, an episode or a step is missing or double; return the steps trained.

    Iterations are 1, 2, 3 ... and equally long, but for the last one of each start, which may be
    cut short. The episodes of each account are numbered without a gap, and each began in the
    iteration in which those before it had ended: so none overlaps another. Together they hold every
    step of the training. That is only true where no episode is open.
    """
    with engine.connect() as connection:
        ask = {"run_id": run_id}
        question = "SELECT config FROM training_runs WHERE run_id = :run_id"
        accounts = accounts_of(connection.execute(sa.text(question), ask).scalar_one())
        question = "SELECT count(*) FROM attempts WHERE run_id = :run_id"
        starts = connection.execute(sa.text(question), ask).scalar_one()
        trained = connection.execute(sa.text(ITERATIONS), ask).all()
        episodes = connection.execute(sa.text(EPISODES), ask | {"accounts": accounts}).all()
    assert [row.iteration for row in trained] == list(range(1, len(trained) + 1))
    ends = [row.environment_steps for row in trained]
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert min(lengths) > 0, lengths
    assert sum(length != max(lengths) for length in lengths) <= starts, lengths
    numbers: dict[int, list[int]] = {}
    steps: dict[int, int] = {}
    for row in episodes:
        numbers.setdefault(row.account, []).append(row.nth)
        steps[row.account] = steps.get(row.account, 0) + row.step_count
        assert row.iteration == bisect_right(ends, row.begun * accounts) + 1, row
    assert all(found == list(range(len(found))) for found in numbers.values()), numbers
    assert steps == dict.fromkeys(range(accounts), ends[-1] // accounts), steps
    return ends[-1]


def assert_closed(engine: sa.Engine, run_id: str) -> None:
    """Fail unless the end closed the episodes that were open: none runs, some were interrupted."""
    question = (
        "SELECT episodes.state, count(*) AS rows FROM episodes JOIN trials USING (trial_id) "
        "WHERE run_id = :run_id GROUP BY episodes.state"
    )
    with engine.connect() as connection:
        rows = connection.execute(sa.text(question), {"run_id": run_id}).all()
    counts = {row.state: row.rows for row in rows}
    assert counts.keys() <= {"completed", "interrupted"}, counts
    assert counts.get("interrupted"), counts
