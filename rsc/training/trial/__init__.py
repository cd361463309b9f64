"""A trial: train on one fold, evaluate, keep the best, evaluate it once on the test split."""
