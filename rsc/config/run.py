"""The one document that is a run, composed of the settings of every part.

Each part checks its own settings; here stand only the checks that need two parts at
once and no data. What needs the data (a window longer than the prices, a purge that
swallows a fold) is refused by the part that reads them, before training starts.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, model_validator

from rsc.config.algorithms.dqn import DqnConfig
from rsc.config.training import (
    EvaluationConfig,
    RecordingConfig,
    ResourcesConfig,
    TrainingConfig,
)
from rsc.extensions import Sources, read_sources, references_in
from rsc.market.features.registry import FeatureConfig
from rsc.market.prices.sources import DataConfig
from rsc.market.split_kinds import FractionSplit, SplitConfig
from rsc.trading.environments.baselines.registry import BaselineConfig
from rsc.trading.environments.episodes import EpisodeConfig
from rsc.trading.performance.outside import MetricConfig
from rsc.trading.rules import TradingConfig

# Cannot change what is computed, only what it is called and how much of it is kept.
RESULT_FREE = ("name", "recording")


class RunConfig(BaseModel):
    """Everything that decides a run; a run's YAML file is this model."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="A run of rsc")

    name: str = Field(
        "run",
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="What the run is called in tables and reports.",
    )
    seed: int = Field(
        0, ge=0, lt=2**31, description="Seed of everything random; same seed, same records."
    )
    data: DataConfig = Field(description="Prices, from files or a synthetic world.")
    features: FeatureConfig = Field(
        default_factory=FeatureConfig, description="What the agent sees of each bar."
    )
    splits: SplitConfig = Field(
        default_factory=FractionSplit, description="Which bars train, validate and test."
    )
    trading: TradingConfig = Field(
        default_factory=TradingConfig, description="Costs, fills, sizing, protection, reward."
    )
    episodes: EpisodeConfig = Field(
        default_factory=EpisodeConfig, description="How long training episodes are."
    )
    training: TrainingConfig = Field(
        default_factory=DqnConfig, description="The algorithm and its parameters."
    )
    evaluation: EvaluationConfig = Field(
        default_factory=EvaluationConfig, description="When the policy is evaluated, when to stop."
    )
    baselines: BaselineConfig = Field(
        default_factory=BaselineConfig, description="What the agent is compared with."
    )
    metrics: tuple[MetricConfig, ...] = Field(
        (), max_length=100, description="Metrics from outside, beside the built-in ones."
    )
    recording: RecordingConfig = Field(
        default_factory=RecordingConfig, description="What goes into the database."
    )
    resources: ResourcesConfig = Field(
        default_factory=ResourcesConfig, description="Processes and accounts."
    )

    _sources: Sources = PrivateAttr(default_factory=Sources)

    @property
    def horizon_bars(self) -> int:
        """Bars that a training target reaches on from its decision; sizes the purge."""
        return self.training.horizon_bars

    @property
    def sources(self) -> Sources:
        """Texts of the ``file.py`` that settings name; they travel wherever the run goes."""
        return self._sources

    @model_validator(mode="after")
    def _read_sources(self, info: ValidationInfo) -> Self:
        folder = (info.context or {}).get("folder")
        self._sources = read_sources((text for _, text in references_in(self)), folder)
        return self

    @model_validator(mode="after")
    def _metrics_differ(self) -> Self:
        names = [metric.name for metric in self.metrics]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"metrics had the name {name!r} twice, must be unique")
        return self
