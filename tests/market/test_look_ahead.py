"""The proof finds every kind of peeking and lets honest features pass."""

from __future__ import annotations

import numpy as np
import pytest

from rsc.errors import CheckFailedError, UserError
from rsc.market.features.bands import Atr, Bollinger
from rsc.market.features.given import FileColumn
from rsc.market.features.look_ahead import LookAheadProof, prove_no_look_ahead
from rsc.market.features.registry import DEFAULT_COLUMNS, FeatureConfig
from rsc.market.features.scaling import NoScaling, RollingScaling, TrainScaling
from rsc.market.features.trend import Adx, Aroon
from rsc.market.prices.bars import Bars
from rsc.market.prices.synthetic import ClairvoyantWorld, TrendWorld, synthetic_bars

USER_MODULE = """
import numpy as np
import pandas as pd

def honest(bars):
    return {"honest": pd.Series(bars.close).rolling(5).mean().to_numpy()}

def centred(bars):
    return {"centred": pd.Series(bars.close).rolling(5, center=True).mean().bfill().ffill()}

def tomorrow(bars):
    return {"tomorrow": np.append(bars.close[1:], 0.0)}

def whole_file(bars):
    return {"whole_file": (bars.close - bars.close.mean()) / bars.close.std()}

def maximum(bars):
    return {"maximum": bars.volume / bars.volume.max()}

def progress(bars):
    return {"progress": np.arange(len(bars)) / len(bars)}

def mood(bars):
    return {"mood": np.append(bars.extras["signal"][1:], 0.0)}

def end_date(bars):
    return {"end_date": (bars.timestamp[-1] - bars.timestamp) / 1e18}

def renamed(bars):
    return {f"renamed_{len(bars)}": bars.close * 1.0}

def whole_only(bars):
    if len(bars) != 300:
        raise ValueError("not my file")
    return {"whole_only": bars.close * 1.0}
"""


@pytest.fixture(autouse=True)
def _user_module(tmp_path, monkeypatch):
    (tmp_path / "peeking_features.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture(scope="module")
def world() -> Bars:
    (bars,) = synthetic_bars(ClairvoyantWorld(bars=300, seed=3))
    return bars


def prove(bars: Bars, *specs: object, samples: int = 5, **settings: object) -> LookAheadProof:
    settings.setdefault("scaling", RollingScaling(window=20))
    config = FeatureConfig(columns=specs, **settings)
    return prove_no_look_ahead(bars, config, samples, np.random.default_rng(0))


def user(name: str) -> dict[str, object]:
    return {"kind": "entry_point", "function": f"peeking_features:{name}", "look_back_bars": 5}


def test_every_built_in_kind_passes(world):
    specs = (*DEFAULT_COLUMNS, Bollinger(), Atr(), Adx(), Aroon(), FileColumn(name="signal"))
    proof = prove(world, *specs, user("honest"))
    assert proof.violations == ()
    assert proof.holds
    assert len(proof.columns) == 8 + 3 + 1 + 3 + 3 + 1 + 1
    assert len(proof.samples) == 5
    assert proof.digest == world.digest
    proof.require()


@pytest.mark.parametrize(
    "scaling",
    [NoScaling(), RollingScaling(window=20), TrainScaling()],
    ids=lambda scaling: scaling.kind,
)
def test_every_scaling_passes(world, scaling):
    assert prove(world, *DEFAULT_COLUMNS, scaling=scaling).holds


@pytest.mark.parametrize(
    "name",
    ["centred", "tomorrow", "whole_file", "maximum", "progress", "mood", "end_date", "whole_only"],
)
def test_a_feature_that_peeks_is_named(world, name):
    proof = prove(world, *DEFAULT_COLUMNS[:1], user(name))
    assert not proof.holds
    with pytest.raises(
        CheckFailedError, match=f"feature '{name}' at bar .* depended on bars after"
    ):
        proof.require()


def test_a_column_whose_name_depends_on_the_future_is_named(world):
    assert "feature 'renamed_300'" in prove(world, user("renamed")).violations[0]


def test_one_peeking_feature_does_not_accuse_the_others(world):
    proof = prove(world, *DEFAULT_COLUMNS, user("tomorrow"))
    assert len(proof.violations) == 1


def test_samples_lie_after_the_warm_up_and_do_not_repeat():
    (bars,) = synthetic_bars(TrendWorld(bars=80))
    proof = prove(bars, *DEFAULT_COLUMNS, samples=1000)
    assert proof.samples == tuple(range(33 + 19, 79))


def test_no_bar_to_sample_is_refused():
    (bars,) = synthetic_bars(TrendWorld(bars=53, seed=3))
    with pytest.raises(UserError, match="53 bars left none after the warm-up"):
        prove(bars, *DEFAULT_COLUMNS)
