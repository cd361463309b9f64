"""What the agent is compared with: one module per baseline.

Baselines go through the same simulator, costs, fills and ends of episodes as the agent, and
are recorded as the same kinds of rows under their own policy code. A decision at bar t uses
closes up to t and may look back before the evaluated range: the range limits what is traded,
not what is known.
"""
