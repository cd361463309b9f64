"""DQN and PPO on RLlib with flat arrays from runner to learner."""
