"""The history of the schema; run by `rsc.store.engine.upgrade` and by nothing else."""
