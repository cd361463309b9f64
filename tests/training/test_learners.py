"""Targets and losses of both learners against numbers computed by hand.

All weights are zero, so a network's outputs are the biases of its last layers, whatever
it is shown.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from training_runs import prepared, small_config

from rsc.training.algorithms.policy import action_scores
from rsc.training.algorithms.registry import build_algorithm
from rsc.training.algorithms.replay_buffer import join_accounts

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("contract")]


@pytest.fixture
def build(ray_session):
    """Build an algorithm in this process, with other settings of training and trading."""
    built = []

    def make(kind, *, actions=(-1, 0, 1), runners=0, **settings):
        trading = {"actions": actions}
        config = small_config(kind, runners=runners, training=settings, trading=trading)
        built.append(build_algorithm(*prepared(config)))
        return built[-1]

    yield make
    for algorithm in built:
        algorithm.stop()


def learner_of(algorithm):
    learner = algorithm.learner_group._learner
    for parameter in learner.network().parameters():
        parameter.data.zero_()
    return learner


def linear_layers(module):
    return [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]


def answer(head, values):
    """Let a head of a network whose weights are zero answer `values`."""
    linear_layers(head)[-1].bias.data[:] = torch.tensor(values, dtype=torch.float32)


# --- DQN -------------------------------------------------------------------------------------


def two_transitions(action=2):
    """One that goes on and one that ended, each with a reward of 0.5."""
    pointers = {"row": np.full(2, 200, np.int32), "next_row": np.full(2, 201, np.int32)}
    return {
        **pointers,
        "action": np.full(2, action, np.int16),
        "reward": np.full(2, 0.5, np.float32),
        "discount": np.array([0.9, 0.0], np.float32),
    }


def evaluated(algorithm, learner):
    """Return targets and loss of the two transitions."""
    batch = two_transitions()
    size = algorithm.env_runner.simulator.account.shape[1]
    batch |= {name: np.zeros((2, size), np.float32) for name in ("account", "next_account")}
    targets = learner.target(batch).tolist()
    return targets, float(learner.step(batch)["loss"])


@pytest.mark.parametrize(
    ("double", "target", "loss"),
    [
        # 2 x 0.5 + 0.9 x 50, the target network's own best; it is off by 44
        (False, 46.0, (44 - 0.5 + 0.5) / 2),
        # 2 x 0.5 + 0.9 x 20, the target network's value of the online network's best
        (True, 19.0, (17 - 0.5 + 0.5) / 2),
    ],
)
def test_the_double_target_values_what_the_online_network_chooses(build, double, target, loss):
    algorithm = build("dqn", double=double, dueling=False, reward_scale=2.0)
    learner = learner_of(algorithm)
    network = learner.network()
    answer(network.parts["action"], [1.0, 3.0, 2.0])
    answer(network.target_parts["action"], [10.0, 20.0, 50.0])
    targets, found = evaluated(algorithm, learner)
    assert targets == pytest.approx([target, 1.0])  # nothing follows an end
    assert found == pytest.approx(loss)  # Huber: |error| - 1/2, error^2 / 2 up to 1


@pytest.mark.parametrize(("double", "target"), [(False, 1 + 0.9 * 12), (True, 1 + 0.9 * 9)])
def test_dueling_adds_the_value_to_advantages_less_their_mean(build, double, target):
    algorithm = build("dqn", double=double, dueling=True, reward_scale=2.0)
    learner = learner_of(algorithm)
    network = learner.network()
    answer(network.parts["state"], [2.0])
    answer(network.parts["action"], [1.0, 2.0, 6.0])
    answer(network.target_parts["state"], [10.0])
    answer(network.target_parts["action"], [3.0, 0.0, 0.0])
    shown = np.ones((1, algorithm.config.observation_space.shape[0]), np.float32)
    assert action_scores(network, shown).tolist() == [[0.0, 1.0, 5.0]]  # 2 + (1, 2, 6) - 3
    targets, _ = evaluated(algorithm, learner)  # 10 + (3, 0, 0) - 1 = (12, 9, 9)
    assert targets == pytest.approx([target, 1.0])


def test_the_target_network_is_copied_when_its_steps_are_over(build):
    learner = learner_of(build("dqn", dueling=False, target_update_steps=1000))
    network = learner.network()
    answer(network.parts["action"], [1.0, 2.0, 3.0])
    copied = []
    for steps in (999, 1000, 1999, 2000):
        learner.after_round(steps)
        copied.append(all((a == b).all() for a, b in both_networks(network)))
        answer(network.parts["action"], [float(steps), 0.0, 0.0])
    assert copied == [False, True, False, True]


def test_epsilon_is_linear_in_the_steps_of_all_runners(build, monkeypatch):
    algorithm = build("dqn", runners=2, epsilon_steps=1000, iteration_steps=512)
    asked, ask = [], algorithm._ask
    monkeypatch.setattr(
        algorithm, "_ask", lambda request: asked.append(request["epsilon"]) or ask(request)
    )
    for _ in range(3):
        algorithm.train()
    # 2 runners x 16 accounts x 8 steps: 256 of the 1000 steps from 1 to 0.05 in each round.
    assert asked == pytest.approx([1.0, 0.7568, 0.5136, 0.2704, 0.05, 0.05])


def test_no_step_in_the_ring_follows_an_interrupted_one(build):
    algorithm = build("dqn")
    algorithm.train()
    algorithm.interrupt_episodes()
    algorithm.set_progress(algorithm.get_progress())  # what a resumed run does
    algorithm.train()
    columns = algorithm.ring.get_state()["columns"]
    goes_on = ~(columns["terminated"] | columns["truncated"])[:-1]
    assert goes_on.any()
    following = columns["row"][1:], columns["next_row"][:-1]
    np.testing.assert_array_equal(following[0][goes_on], following[1][goes_on])


def both_networks(network):
    return zip(network.parts.parameters(), network.target_parts.parameters(), strict=True)


# --- PPO -------------------------------------------------------------------------------------

# Both actions have probability 1/2 now: ratios 1.5 and 0.5 to what they had before.
RAISED, LOWERED = math.log(1 / 3), math.log(1.0)


def ppo_step(algorithm, old_logp, advantage, target):
    learner, count = learner_of(algorithm), len(old_logp)
    answer(learner.network().vf, [0.25])
    width = algorithm.config.observation_space.shape[0]
    columns = (torch.tensor(column) for column in (old_logp, advantage, target))
    observation, action = torch.ones((count, width)), torch.zeros(count, dtype=torch.int64)
    return {
        name: float(value) for name, value in learner._step(observation, action, *columns).items()
    }


def test_the_surrogate_takes_the_worse_of_ratio_and_clipped_ratio(build):
    algorithm = build(
        "ppo", actions=(0, 1), clip=0.2, value_coefficient=0.5, entropy_coefficient=0.01
    )
    found = ppo_step(
        algorithm,
        old_logp=[RAISED, RAISED, LOWERED, LOWERED],
        advantage=[1.0, -1.0, 2.0, -2.0],
        target=[0.25, 0.25, 1.25, -0.75],
    )
    surrogate = (1.2 * 1 - 1.5 * 1 + 0.5 * 2 - 0.8 * 2) / 4
    squared_error = (0 + 0 + 1 + 1) / 4
    loss = -surrogate + 0.5 * squared_error - 0.01 * math.log(2)
    assert found["loss"] == pytest.approx(loss)
    assert found["entropy"] == pytest.approx(math.log(2))
    # E[ratio - 1 - log ratio]
    kl = (0.5 - math.log(1.5)) / 2 + (-0.5 - math.log(0.5)) / 2
    assert found["kl"] == pytest.approx(kl)


def test_a_policy_that_left_an_action_for_good_is_far_away_and_not_diverged(build):
    """exp(-200) is 0 in 32 bits; its logarithm is not asked for."""
    algorithm = build("ppo", actions=(0, 1))
    found = ppo_step(algorithm, old_logp=[200.0 - math.log(2)], advantage=[1.0], target=[0.25])
    assert found["kl"] == pytest.approx(199)
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("old_logp", "advantage", "norm"),
    [
        (RAISED, 1.0, 0.0),  # raised beyond the clip already
        (LOWERED, -1.0, 0.0),  # lowered beyond it already
        # ratio x advantage x (1 - 1/2) and as much less for the other logit
        (RAISED, -1.0, math.hypot(0.75, 0.75)),
        (LOWERED, 1.0, math.hypot(0.25, 0.25)),
    ],
)
def test_beyond_the_clip_nothing_pulls_further_away_but_back(build, old_logp, advantage, norm):
    algorithm = build("ppo", actions=(0, 1), value_coefficient=0, entropy_coefficient=0)
    found = ppo_step(algorithm, [old_logp], [advantage], [0.0])
    assert found["gradient_norm"] == pytest.approx(norm, abs=1e-7)


def value_is_the_hundredth_of_the_row(learner):
    """Let the newest bar of a window show its row, and the critic pass it on."""
    features = np.repeat(np.arange(len(learner.market.features), dtype=np.float32)[:, None], 2, 1)
    learner.market = dataclasses.replace(learner.market, features=features)
    network, newest = learner.network(), 2 * learner.plan.config.features.window - 1
    (hidden,) = linear_layers(network.critic_encoder)
    (head,) = linear_layers(network.vf)
    hidden.weight.data[0, newest] = 0.01
    head.weight.data[0, 0] = 1.0


def test_values_after_a_cut_and_after_the_fragment_are_those_of_the_rows_that_came_next(build):
    algorithm = build("ppo", gamma=0.5, gae_lambda=0.5, reward_scale=2.0)
    learner = learner_of(algorithm)
    value_is_the_hundredth_of_the_row(learner)
    # Account A is truncated in its second step, B terminated in its first; both begin anew.
    row = [[200, 300], [201, 80], [50, 81]]
    next_row = [[201, 301], [202, 81], [51, 82]]
    reward = [[0.5, 1.0], [1.0, 0.5], [1.5, 2.0]]
    terminated, truncated = np.zeros((2, 3, 2), bool)
    terminated[0, 1] = truncated[1, 0] = True
    account = np.zeros((6, algorithm.env_runner.simulator.account.shape[1]), np.float32)
    columns = {
        "row": np.ravel(row).astype(np.int32),
        "next_row": np.ravel(next_row).astype(np.int32),
        "reward": np.ravel(reward).astype(np.float32),
        "terminated": terminated.ravel(),
        "truncated": truncated.ravel(),
        "account": account,
        "next_account": account,
    }
    observation = learner.observe(columns["row"], columns["account"])
    action = torch.zeros(6, dtype=torch.int64)
    old_logp, advantage, target = learner._estimate(columns, observation, action, 3)
    # delta = 2 x reward + value after / 2 - value, advantage = delta + that of the next / 4.
    a = [0.005 + 1.0 / 4, 2 + 2.02 / 2 - 2.01, 3 + 0.51 / 2 - 0.50]  # 2.02: not 0.50
    b = [2 - 3.0, 0.605 + 3.6 / 4, 4 + 0.82 / 2 - 0.81]
    by_hand = np.array([a[0], b[0], a[1], b[1], a[2], b[2]])
    value = np.array([2.00, 3.00, 2.01, 0.80, 0.50, 0.81])
    np.testing.assert_allclose(target.numpy(), by_hand + value, rtol=1e-5)
    normal = (by_hand - by_hand.mean()) / by_hand.std()
    np.testing.assert_allclose(advantage.numpy(), normal, rtol=1e-4)
    np.testing.assert_allclose(old_logp.numpy(), math.log(1 / 3), rtol=1e-6)


# --- SAC -------------------------------------------------------------------------------------


def soft(build, **settings):
    """Return a learner with two actions, a policy of 1/4 and 3/4, and a temperature of 1/2."""
    algorithm = build("sac", actions=(0, 1), reward_scale=2.0, initial_temperature=0.5, **settings)
    learner = learner_of(algorithm)
    network = learner.network()
    network.log_temperature.data.fill_(math.log(0.5))
    answer(network.actor, [math.log(1 / 4), math.log(3 / 4)])
    for critic, values in zip(network.critics, ([3.0, 1.0], [2.0, 4.0]), strict=True):
        answer(critic, values)
    for critic, values in zip(network.target_critics, ([10.0, 30.0], [20.0, 8.0]), strict=True):
        answer(critic, values)
    size = algorithm.env_runner.simulator.account.shape[1]
    batch = two_transitions(action=1)
    batch |= {name: np.zeros((2, size), np.float32) for name in ("account", "next_account")}
    return learner, batch


ENTROPY = -(math.log(1 / 4) + 3 * math.log(3 / 4)) / 4


def test_the_soft_target_is_the_lower_value_and_the_entropy_of_the_policy(build):
    learner, batch = soft(build)
    # 2 x 0.5 + 0.9 x (10 / 4 + 8 x 3 / 4 + entropy / 2); nothing follows an end
    assert learner.target(batch).tolist() == pytest.approx([1 + 0.9 * (8.5 + ENTROPY / 2), 1.0])


def test_soft_losses_of_critics_policy_and_temperature(build):
    learner, batch = soft(build, target_entropy_fraction=0.4)
    goal = 1 + 0.9 * (8.5 + ENTROPY / 2)
    found = {name: float(value) for name, value in learner.step(batch).items()}
    squared = ((1 - goal) ** 2 + (1 - 1) ** 2) / 2 + ((4 - goal) ** 2 + (4 - 1) ** 2) / 2
    assert found["value_loss"] == pytest.approx(squared / 2)
    # E[temperature x log pi - the lower of both values], which are 2 and 1
    assert found["policy_loss"] == pytest.approx(-ENTROPY / 2 - (2 + 3 * 1) / 4)
    assert found["entropy"] == pytest.approx(ENTROPY)
    assert found["temperature"] == pytest.approx(0.5)
    temperature = 0.5 * (ENTROPY - 0.4 * math.log(2))
    assert found["loss"] == pytest.approx(
        found["value_loss"] + found["policy_loss"] + temperature, rel=1e-5
    )


@pytest.mark.parametrize(("fraction", "rises"), [(0.1, False), (0.99, True)])
def test_the_temperature_rises_where_the_policy_has_too_little_entropy(build, fraction, rises):
    learner, batch = soft(build, target_entropy_fraction=fraction)
    learner.step(batch)
    assert (learner.network().log_temperature.item() > math.log(0.5)) is rises


def test_each_loss_pulls_only_at_parameters_of_its_own(build):
    """The policy does not move the critics: where they are right, they stay."""
    learner, batch = soft(build)
    batch["discount"][:] = 0
    for critic in learner.network().critics:
        answer(critic, [7.0, 1.0])  # the target: 2 x 0.5
    learner.step(batch)
    for critic in learner.network().critics:
        assert linear_layers(critic)[-1].bias.tolist() == [7.0, 1.0]
    actor = linear_layers(learner.network().actor)[-1].bias.tolist()
    assert actor[0] > math.log(1 / 4)
    assert actor[1] < math.log(3 / 4)


def test_targets_follow_the_critics_by_their_rate(build):
    learner, batch = soft(build, target_rate=0.25)
    network = learner.network()
    learner.step(batch)
    critic, target = (
        linear_layers(part[0])[-1].bias for part in (network.critics, network.target_critics)
    )
    expected = 0.75 * torch.tensor([10.0, 30.0]) + 0.25 * critic
    assert target.tolist() == pytest.approx(expected.tolist())


# --- more actions than a byte has numbers ----------------------------------------------------

MANY = tuple(np.linspace(-1, 1, 300))


def one_round(algorithm):
    """Return an env runner's answer, checked against what its accounts recorded."""
    reply = algorithm.env_runner.sample(round_number=1, epsilon=1.0)
    recorded = reply.records.steps["action"].reshape(reply.columns["action"].shape)
    assert recorded.max() > 255
    np.testing.assert_array_equal(reply.columns["action"], recorded)
    return reply.columns


def test_actions_beyond_a_byte_are_replayed_as_they_were_taken(build):
    algorithm = build("dqn", actions=MANY, dueling=False)
    columns = one_round(algorithm)
    algorithm.ring.add(join_accounts([columns]))
    batch = algorithm.ring.sample(256, np.random.default_rng(0))
    assert batch["action"].max() > 255
    assert set(batch["action"]) <= set(columns["action"].ravel())
    learner = learner_of(algorithm)
    answer(learner.network().parts["action"], range(300))  # an action's value is its number
    assert float(learner.step(batch)["q_mean"]) == pytest.approx(batch["action"].mean())


def test_actions_beyond_a_byte_are_learned_from_as_they_were_taken(build):
    algorithm = build("ppo", actions=MANY)
    columns = one_round(algorithm)
    taken = columns["action"].ravel()
    flat = {name: column.reshape(-1, *column.shape[2:]) for name, column in columns.items()}
    learner = learner_of(algorithm)
    logits = np.linspace(0, 3, 300)
    answer(learner.network().pi, logits)
    observation = learner.observe(flat["row"], flat["account"])
    action = learner.tensor(flat["action"], torch.int64)
    old_logp, _, _ = learner._estimate(flat, observation, action, len(columns["row"]))
    expected = logits[taken] - np.log(np.exp(logits).sum())
    np.testing.assert_allclose(old_logp.numpy(), expected, rtol=1e-5)
