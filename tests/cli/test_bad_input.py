# ruff: noqa: E501 (one sentence a line reads better than one broken over three)
from __future__ import annotations

import pytest

SOURCES = "data: {sources: [{instrument: mine, uri: prices.csv}]}\n"
WORLD = "data: {synthetic: {kind: trend, bars: 600}}\n"


@pytest.fixture
def write(folder):
    def write_file(text: str, name: str = "run.yaml") -> str:
        (folder / name).write_text(text)
        return name

    return write_file


@pytest.mark.parametrize(
    "command", [["train"], ["config", "show"], ["data", "check"]], ids=" ".join
)
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("training: {n_stp: 3}", "training.n_stp is not a known key, did you mean n_step?"),
        ("trainings: {}", "trainings is not a known key, did you mean training?"),
        ("training: {lr: 1, lr: 2}", "line 2: key 'lr' was given twice, must be given once"),
        ("training: {n_step: 0}", "training.n_step was 0, must be at least 1 (steps of reward"),
        ("training: {gamma: 1.5}", "training.gamma was 1.5, must be at most 1 (discount factor"),
        ("training: {lr: fast}", "training.lr was 'fast', must be a number"),
        ("training: {double: 1}", "training.double was 1, must be true or false"),
        ("training: {total_steps: 10.5}", "training.total_steps was 10.5, must be a whole number"),
        ("training: {algorithm: dqm}", "training.algorithm was 'dqm', must be dqn, ppo or sac, did you mean dqn"),
        ("training: {total_steps: 1000}", "training.learning_starts was 2048, must be less than training.total_steps = 1000"),
        ("training: {batch_size: 500, buffer_size: 100}", "training.batch_size was 500, must be at most buffer_size (100)"),
        ("trading: {fee_bps: -1}", "trading.fee_bps was -1, must be at least 0"),
        ("trading: {fill: close}", "trading.fill was 'close', must be next_open or next_close"),
        ("trading: {reward: {kind: profit}}", "trading.reward.kind was 'profit', must be log_return, differential_sharpe, penalised_return or custom"),
        ("trading: {position_fraction: 2}", "trading.position_fraction was 2.0, must be at most max_leverage = 1.0"),
        ("features: {columns: [{kind: rsy}]}", "features.columns.0.kind was 'rsy', must be"),
        ("features: {columns: [{kind: rsi, perod: 3}]}", "features.columns.0.perod is not a known key, did you mean period?"),
        ("features: {window: 0}", "features.window was 0, must be at least 1"),
        ("splits: {train_fraction: 0.9}", "splits.train_fraction + validation_fraction was 1.1, must be below 1"),
        ("splits: {kind: date, validation_start: 2020-01-01, test_start: 2019-01-01}", "splits overlap: 2019-01-01 was not after 2020-01-01"),
        ("splits: {kind: date, validation_start: yesterday}", "splits.validation_start was 'yesterday', must be a date like 2020-01-31"),
        ("resources: {num_learners: 2}", "resources.num_learners was 2, must be at most 1"),
        ("seed: -1", "seed was -1, must be at least 0"),
        ("training: {buffer_size: 1000000000000}", "training.buffer_size was 1000000000000, must be at most 1000000000"),
        ("episodes: {maximum_length: 99999999999999999999}", "episodes.maximum_length was 99999999999999999999, must be at most 2147483647"),
        ("episodes: {full: true, maximum_length: 100}", "episodes.maximum_length was set, but full is true"),
        ("features: {scaling: {kind: train, window: 100}}", "features.scaling.window belongs to kind rolling, but kind was train"),
        ("features: {scaling: {kind: none, clip: 3}}", "features.scaling.clip belongs to kind rolling or train, but kind was none"),
        ("name: ''", "name was '', must be text of at least 1 characters"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_before_anything_happens(
    refused, write, command, text, sentence
):
    message = refused(*command, write(WORLD + text + "\n"))
    assert message.startswith("run.yaml: ")
    assert sentence in message


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.n_stp=3", "--set training.n_stp=3: training.n_stp is not a known key, did you mean n_step?"),
        ("training.gamma=1.5", "--set training.gamma=1.5: training.gamma was 1.5, must be at most 1"),
        ("name=!!bool x", "--set name=!!bool x: value was '!!bool x', must be a YAML value (not YAML: 'x' cannot be read as bool)"),
        ("name={a: 1, a: 2}", "--set name={a: 1, a: 2}: value was '{a: 1, a: 2}', must be a YAML value (key 'a' was given twice)"),
        ("training.gamma", "--set training.gamma: was without '=', must be path=value"),
        ("features.columns.9.period=3", "--set features.columns.9.period=3: features.columns has 6 entries, 9 must be 0 to 6"),
    ],
)  # fmt: skip
def test_wrong_overrides_are_refused_as_they_were_typed(refused, write, override, sentence):
    message = refused("train", write(WORLD), "--set", override)
    assert message.startswith(sentence)


@pytest.mark.parametrize("path", ["features.columns.{}.period", "{}"])
def test_an_index_of_thousands_of_digits_is_refused(refused, write, path):
    message = refused("train", write(WORLD), "--set", f"{path.format('9' * 5000)}=3")
    assert message == "--set: an index had 5000 digits, must have at most 9"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("synthetic: {kind: random_walk, drift: 0.01}", "data.synthetic.drift belongs to kind trend, but kind was random_walk"),
        ("synthetic: {kind: trend, bars: 70000}", "data.synthetic.bars was 70000 of 86400 s from 2000-01-03, must lie between 1678-01-01 and 2261-12-31"),
        ("synthetic: {kind: trend, start: 2300-01-01}", "data.synthetic.bars was 2000 of 86400 s from 2300-01-01, must lie between"),
        ('sources: [{instrument: "a\\nb", uri: prices.csv}]', "data.sources.0.instrument was 'a\\nb', must"),
        ("sources: [{instrument: a, uri: prices.csv, timezone: Mars/Base}]", "data.sources.0.timezone was 'Mars/Base', must be an IANA name such as America/New_York"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_are_refused(refused, write, text, sentence):
    assert sentence in refused("train", write("data: {" + text + "}\n"))


def test_more_instruments_than_episode_ids_can_tell_apart_are_refused(refused, write):
    sources = "".join(f"  - {{instrument: i{n}, uri: prices.csv}}\n" for n in range(4097))
    message = refused("train", write(f"data:\n sources:\n{sources}"))
    assert "data.sources" in message
    assert "at most 4096" in message


def test_a_test_split_may_end_on_the_last_day_there_is(refused, write):
    dates = "validation_start: 2000-06-01, test_start: 2001-01-01, test_end: 9999-12-31"
    text = WORLD + f"splits: {{kind: date, {dates}}}\nfeatures: {{window: 5000}}\n"
    assert "features.window" in refused("train", write(text))


def test_no_data_is_refused(refused, write):
    assert refused("train", write("name: x\n")).startswith(
        "run.yaml: data was missing, must be given"
    )


def test_files_and_a_world_at_once_are_refused(refused, write):
    both = "data: {synthetic: {kind: trend}, sources: [{instrument: a, uri: b}]}\n"
    message = refused("train", write(both))
    assert message == (
        "run.yaml: data must have either sources (files), manifest (published files) "
        "or synthetic (a world), exactly one"
    )


@pytest.mark.parametrize(
    "command", [["train"], ["config", "show"], ["data", "describe"]], ids=" ".join
)
def test_files_that_are_no_run_are_refused(refused, write, folder, command):
    (folder / "binary.yaml").write_bytes(b"\x00\x01\x02")
    (folder / "folder.yaml").mkdir()
    write("", "empty.yaml")
    assert refused(*command, "nowhere.yaml") == "nowhere.yaml: was not found, must be a YAML file"
    assert refused(*command, "empty.yaml") == "empty.yaml: was empty, must hold the keys of a run"
    assert refused(*command, "binary.yaml") == "binary.yaml: was a binary file, must be YAML text"
    assert refused(*command, "folder.yaml") == "folder.yaml: was a directory, must be a YAML file"
    for prices in ("own.csv", "OWN.CSV", "own.parquet"):
        message = refused(*command, prices)
        assert message == f"{prices}: was a file of prices, must be the YAML file of a run"


def test_train_without_a_file_is_refused(refused):
    assert refused("train") == "no run file was given, there must be one (or --resume RUN)"


HEADER = "Date,Open,High,Low,Close\n"
ROWS = [f"2020-01-{day:02d},10,11,9,10\n" for day in range(1, 29)]


@pytest.mark.parametrize("command", [["data", "check"], ["data", "describe"]], ids=" ".join)
@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("", "prices.csv"),
        ("Date,Open,High,Low\n2020-01-01,1,1,1\n", "prices.csv"),
        (HEADER + ROWS[0], "prices.csv"),
        (HEADER + ROWS[0] + "2020-01-02,10,11,9,\n" + ROWS[2], "prices.csv:3"),
        (HEADER + ROWS[0] + "2020-01-02,10,11,9,0\n" + ROWS[2], "prices.csv:3"),
        (HEADER + ROWS[0] + "2020-01-02,10,8,9,10\n" + ROWS[2], "prices.csv:3"),
        (HEADER + ROWS[1] + ROWS[0], "prices.csv:3"),
        (HEADER + ROWS[0] + ROWS[0], "prices.csv:3"),
        (HEADER + ROWS[0] + "2020-01-02T00:00+02:00,10,11,9,10\n", "prices.csv"),
        (HEADER + "".join(ROWS) + "2029-01-02,10,11,9,10\n", "prices.csv:30"),
    ],
    ids=[
        "empty",
        "no-close",
        "one-row",
        "nan",
        "zero",
        "high<low",
        "unsorted",
        "duplicate",
        "mixed-zones",
        "gap",
    ],
)
def test_broken_price_files_are_refused_by_place(refused, write, command, content, where):
    write(content, "prices.csv")
    assert refused(*command, write(SOURCES)).startswith(where)


@pytest.mark.ray
@pytest.mark.parametrize(
    "text", [SOURCES, WORLD + "features: {window: 5000}\n", WORLD + "splits: {purge_bars: 400}\n"]
)
def test_training_on_prices_that_do_not_fit_writes_nothing(refused, write, text):
    refused("train", write(text))


def test_missing_price_file_is_refused(refused, write):
    assert refused("data", "check", write(SOURCES)).startswith("prices.csv: there was no such file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("features: {window: 5000}", "window"),
        ("splits: {purge_bars: 400}", "swallowed"),
        ("splits: {kind: date, validation_start: 1990-01-01, test_start: 2001-01-01}", "train was empty"),
        ("splits: {kind: walk_forward, train_bars: 5000, validation_bars: 10, test_bars: 10}", "must be at most"),
        ("features: {columns: [{kind: column, name: mood}]}", "mood"),
        ("features: {columns: [{kind: entry_point, function: 'no_such_module:f', look_back_bars: 1}]}", "no_such_module"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_prices_are_refused(refused, write, text, words):
    assert words in refused("data", "check", write(WORLD + text + "\n"))


def test_database_of_no_known_kind_is_refused(refused):
    what = "the database URL was mysql, must be a sqlite:/// or postgresql:// URL"
    assert refused("runs", "--database", "mysql://x/y") == what


def test_unreachable_database_is_refused_without_its_password(rsc):
    outcome = rsc("db", "check", "--database", "postgresql://me:secret@127.0.0.1:1/rsc")
    # Not 4 (try again): at the first touch the address is more likely wrong than the server away.
    assert outcome.code == 1
    assert "127.0.0.1:1" in outcome.err
    assert "secret" not in outcome.err


@pytest.mark.parametrize(
    "words",
    [["show", "last"], ["verify", "x"], ["report", "x"], ["compare", "a", "b"], ["db", "check"]],
)
def test_asking_a_database_that_is_not_there_does_not_create_it(refused, words):
    assert "rsc.db" in refused(*words)
