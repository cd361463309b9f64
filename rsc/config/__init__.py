"""One validated configuration for a whole run: YAML in, YAML out.

Settings live beside their owners (prices in `rsc.market`, costs in `rsc.trading`,
training here, below the layer that trains); this package composes them, loads and
overrides them, explains what is wrong with them, and names them by a digest. Importing
it loads neither Ray nor torch.
"""
