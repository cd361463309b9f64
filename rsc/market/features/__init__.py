"""Features: what the agent sees of the market, scaled causally and proven not to look ahead."""
