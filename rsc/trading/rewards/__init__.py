"""What the agent is paid for each step: one module per reward."""
