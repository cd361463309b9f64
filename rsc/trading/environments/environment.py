"""The simulator as gymnasium environments: a batch of N, and a batch of one as a single one.

Both are thin: the money is in the kernel, where episodes begin is in ``episodes``.
What is here is gymnasium's contract: spaces, seeds, autoreset (section 14 of the
trading semantics). No Ray is needed to build or step them, and nothing is global: two
environments in one process share only the read-only market. The project's own training
does not use them; it steps the simulator and keeps pointers instead of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypedDict, Unpack

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rsc.market.matrix import Market
from rsc.market.splits import BarRange
from rsc.trading.environments.episodes import EpisodeConfig, EpisodeSampler
from rsc.trading.environments.simulator import Simulator, gather_windows
from rsc.trading.records import Policy, RecordBatch, Split, training_episode_ids
from rsc.trading.rules import TradingConfig

Observations = NDArray[np.float32]
_OPTIONS = frozenset({"instrument", "start", "end"})
_KEY_MASK = (1 << 64) - 1


def whole_market(market: Market, window: int) -> tuple[BarRange, ...]:
    """Return for each instrument every bar that can be decided at with a full window."""
    return tuple(
        BarRange(start=int(first) + window - 1, end=market.bar_count(instrument) - 1)
        for instrument, first in enumerate(market.first_bar)
    )


def _require_bars(ranges: Sequence[BarRange], market: Market, window: int) -> None:
    """Refuse ranges whose windows reach into the warm-up or into another instrument."""
    if len(ranges) != len(market.instruments):
        raise ValueError(
            f"ranges had {len(ranges)} entries, must have {len(market.instruments)}: one for "
            "each instrument"
        )
    for instrument, (given, whole) in enumerate(
        zip(ranges, whole_market(market, window), strict=True)
    ):
        if not whole.start <= given.start < given.end <= whole.end:
            raise ValueError(
                f"ranges[{instrument}] was bar {given.start} to {given.end}, must lie within "
                f"{whole.start} to {whole.end} and end after its start (warm-up and a window of "
                f"{window} bars come before it)"
            )


class EnvironmentOptions(TypedDict, total=False):
    """What may be given to both environments beside the market and the rules."""

    window: int
    """W, bars in an observation; 30 by default."""
    ranges: Sequence[BarRange]
    """Bars that episodes may cover, one range for each instrument, with a full window after
    the warm-up before its start; everything of that kind by default."""
    episodes: EpisodeConfig
    """Length of episodes."""
    split: Split
    """Written into the records; TRAIN by default."""
    keep_records: bool
    """Whether records are kept for `drain`; otherwise they are dropped at each step."""


class _Batch:
    """N accounts with their episodes and observations: what both environments share."""

    def __init__(
        self,
        market: Market,
        trading: TradingConfig,
        count: int,
        *,
        window: int = 30,
        ranges: Sequence[BarRange] | None = None,
        episodes: EpisodeConfig | None = None,
        split: Split = Split.TRAIN,
        keep_records: bool = False,
    ) -> None:
        if ranges is not None:
            _require_bars(ranges, market, window)
        self.simulator = Simulator(market, trading, accounts=count)
        self.window = window
        self._ranges = tuple(ranges) if ranges is not None else whole_market(market, window)
        self._episodes = episodes or EpisodeConfig()
        self._split = split
        self._keep_records = keep_records
        self._keys = np.zeros((count, 2), np.uint64)
        self._sampler = EpisodeSampler(self._ranges, self._episodes, self._keys)
        self._number = np.zeros(count, np.int64)  # next episode of the key
        self._begun = np.zeros(count, np.int64)  # episodes ever begun, for their ids
        size = window * market.features.shape[1] + self.simulator.account.shape[1]
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space: Discrete[np.int64] = Discrete(len(trading.actions))

    def seed(self, seeds: Sequence[int | None]) -> None:
        """Give the accounts with a seed that key, and start its episodes at the first."""
        for account, seed in enumerate(seeds):
            if seed is not None:
                self._keys[account, 0] = np.uint64(seed & _KEY_MASK)
                self._number[account] = 0
        self._sampler = EpisodeSampler(self._ranges, self._episodes, self._keys)

    def begin(self, index: NDArray[np.int64], options: dict[str, Any] | None = None) -> None:
        """Begin the next episode of each of `index`; `options` replace what was drawn."""
        instrument, start, end = self._choose(index, options or {})
        ids = self._begun[index] * len(self._begun) + index
        self.simulator.begin(
            index,
            instrument=instrument,
            start=start,
            end=end,
            episode_id=training_episode_ids(0, ids),
            split=self._split,
            policy=Policy.AGENT,
        )
        self._number[index] += 1
        self._begun[index] += 1

    def _choose(
        self, index: NDArray[np.int64], options: dict[str, Any]
    ) -> tuple[NDArray[np.int64], ...]:
        """Draw instrument, start and end; `options` replace them, within the ranges."""
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise ValueError(f"options had {sorted(unknown)}, may have {sorted(_OPTIONS)}")
        if not options:
            return self._sampler.draw(index, self._number[index])
        wanted, count = options.get("instrument", -1), len(self._ranges)
        if "instrument" in options and not np.isin(wanted, np.arange(count)).all():
            raise ValueError(f"options had instrument {wanted}, must be 0 to {count - 1}")
        instrument, start, end = self._sampler.draw(index, self._number[index], wanted)
        first, last = np.array([(bars.start, bars.end) for bars in self._ranges])[instrument].T
        length = end - start
        if "start" in options:
            start = np.broadcast_to(options["start"], len(index))
            end = np.minimum(start + length, last)
        if "end" in options:
            end = np.broadcast_to(options["end"], len(index))
            if "start" not in options:
                start = np.maximum(end - length, first)
        outside = (start < first) | (end <= start) | (end > last)
        if outside.any():
            at = int(np.argmax(outside))
            raise ValueError(
                f"options gave an episode from bar {start[at]} to {end[at]} of instrument "
                f"{instrument[at]}, must lie within {first[at]} to {last[at]}"
            )
        return instrument, start, end

    def restart(self, options: dict[str, Any] | None) -> None:
        """Interrupt what runs and begin an episode in every account."""
        self.simulator.interrupt()
        self.forget()
        self.begin(np.arange(len(self._begun)), options)

    def step(self, actions: NDArray[np.int64]) -> None:
        """Step the accounts with an open episode."""
        self.forget()
        self.simulator.step(actions)

    def forget(self) -> None:
        """Drop records that nobody will ask for."""
        if not self._keep_records:
            self.simulator.discard()

    def observe(self) -> Observations:
        """Return a new array of the current observations, shape (N, W * F + A)."""
        simulator = self.simulator
        out = np.empty((len(simulator.row), *self.observation_space.shape), np.float32)
        features = simulator.market.features
        return gather_windows(features, simulator.row, self.window, simulator.account, out)


class TradingVectorEnv(VectorEnv[Observations, NDArray[np.int64], NDArray[Any]]):
    """N accounts in one batch: observe windows of features and the accounts, choose exposures.

    Parameters
    ----------
    market : Market
    trading : TradingConfig
        Rules, costs and reward.
    num_envs : int
        N.
    autoreset_mode : AutoresetMode
        ``NEXT_STEP`` or ``SAME_STEP``, see below.
    render_mode : None
        There is nothing to render; reports show what happened.
    **options
        The fields of `EnvironmentOptions`.

    Notes
    -----
    An observation is float32, flat: W rows of F features, the oldest first, then the
    account: exposure, unrealised return, drawdown, held target, share of the cool-down
    left (only with a cool-down). An action is an index into ``trading.actions``.

    ``reset(seed=n)`` makes n + i the key of the episodes to come of sub-environment i, a
    sequence gives each its own. ``reset(options=...)`` takes ``instrument`` (index),
    ``start`` (bar_index of the first decision) and ``end`` (of the last bar), one for all
    or arrays of N, instead of the drawn ones; with one of the two the length is the drawn
    one, or what the range has room for. ``info`` holds ``portfolio_value`` (money) and
    ``row`` (market row of the last seen bar).

    With ``NEXT_STEP`` the step after an episode's end ignores that action, returns the
    reset observation with reward 0 and both flags False, and is no step of any episode.
    With ``SAME_STEP`` the step that ends an episode returns the reset observation;
    ``info["final_obs"]`` holds the last one of each episode that ended.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (declared so by the base class)
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        market: Market,
        trading: TradingConfig,
        num_envs: int,
        *,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: None = None,
        **options: Unpack[EnvironmentOptions],
    ) -> None:
        if autoreset_mode is AutoresetMode.DISABLED:
            raise ValueError("autoreset_mode was DISABLED, must be NEXT_STEP or SAME_STEP")
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.metadata = self.metadata | {"autoreset_mode": autoreset_mode}
        self._same_step = autoreset_mode is AutoresetMode.SAME_STEP
        self._batch = _Batch(market, trading, num_envs, **options)
        self.single_observation_space = self._batch.observation_space
        self.single_action_space = self._batch.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = MultiDiscrete([len(trading.actions)] * num_envs)
        self._seeded = False

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Interrupt what runs and begin an episode in every sub-environment."""
        self._batch.seed(self._seeds(seed))
        self._seeded = True
        self._batch.restart(options)
        return self._batch.observe(), self._info()

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[
        Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Step every open episode; begin one where it ended, as the autoreset mode says.

        Raises
        ------
        gymnasium.error.ResetNeeded
            If `reset` was never called.
        """
        if not self._seeded:
            raise gymnasium.error.ResetNeeded("no episode is open: call reset() first")
        simulator = self._batch.simulator
        ended = np.flatnonzero(~simulator.active)
        self._batch.step(np.asarray(actions, np.int64))
        rewards, info = simulator.reward.copy(), {}
        terminated, truncated = simulator.terminated.copy(), simulator.truncated.copy()
        if self._same_step:
            ended = np.flatnonzero(~simulator.active)
            info = self._final(ended)
        if len(ended):
            self._batch.begin(ended)
        return self._batch.observe(), rewards, terminated, truncated, self._info() | info

    def is_open(self, index: int) -> bool:
        """Return whether a sub-environment has an episode that has not ended."""
        return bool(self._batch.simulator.active[index])

    def drain(self) -> RecordBatch:
        """Return the records since the last call; nothing without ``keep_records``."""
        self._batch.forget()
        return self._batch.simulator.drain()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        """Return the key of each sub-environment, None where it keeps its own."""
        if isinstance(seed, Sequence):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed had {len(seed)} entries, must have {self.num_envs}")
            given = seed
        else:
            super().reset(seed=seed)
            given = [None if seed is None else seed + i for i in range(self.num_envs)]
        if self._seeded:
            return given
        first = self.np_random_seed or 0  # there is none to keep yet
        return [first + i if key is None else key for i, key in enumerate(given)]

    def _final(self, ended: NDArray[np.int64]) -> dict[str, Any]:
        """Return the last observation of what ended, by gymnasium's names; empty if none did."""
        if not len(ended):
            return {}
        last, known = np.full(self.num_envs, None, object), np.zeros(self.num_envs, np.bool_)
        observations = self._batch.observe()
        for account in ended:
            last[account] = observations[account]
        known[ended] = True
        return {"final_obs": last, "_final_obs": known}

    def _info(self) -> dict[str, Any]:
        """Return arrays with their masks, as gymnasium's vector environments do."""
        simulator, known = self._batch.simulator, np.ones(self.num_envs, np.bool_)
        return {
            "portfolio_value": simulator.portfolio_value.copy(),
            "_portfolio_value": known,
            "row": simulator.row.astype(np.int64),
            "_row": known,
        }


class TradingEnv(gymnasium.Env[Observations, np.int64]):
    """One account: a batch of one, whose episodes are begun by `reset` alone.

    Parameters
    ----------
    market : Market
    trading : TradingConfig
        Rules, costs and reward.
    render_mode : None
        There is nothing to render; reports show what happened.
    **options
        The fields of `EnvironmentOptions`.

    Notes
    -----
    Observation, action, seed, options of `reset` and ``info`` are as in `TradingVectorEnv`,
    each without the axis of accounts.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(
        self,
        market: Market,
        trading: TradingConfig,
        *,
        render_mode: None = None,
        **options: Unpack[EnvironmentOptions],
    ) -> None:
        self.render_mode = render_mode
        self._vector = TradingVectorEnv(market, trading, 1, **options)
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Interrupt the open episode, if any, and begin the next one."""
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = self.np_random_seed
        self._seeded = True
        observations, info = self._vector.reset(seed=seed, options=options)
        return observations[0], _single(info)

    def step(
        self, action: np.int64 | int
    ) -> tuple[Observations, float, bool, bool, dict[str, Any]]:
        """Decide at the last seen close and let the next bar happen.

        Raises
        ------
        gymnasium.error.ResetNeeded
            If no episode is open.
        """
        if not self._vector.is_open(0):
            raise gymnasium.error.ResetNeeded("no episode is open: call reset() first")
        observations, rewards, terminated, truncated, info = self._vector.step(
            np.array([action], np.int64)
        )
        ended = bool(terminated[0]), bool(truncated[0])
        return observations[0], float(rewards[0]), *ended, _single(info)

    def drain(self) -> RecordBatch:
        """Return the records since the last call; nothing without ``keep_records``."""
        return self._vector.drain()


def _single(info: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the one account, without gymnasium's masks."""
    return {name: values[0].item() for name, values in info.items() if not name.startswith("_")}
