"""The history of the schema; run by `rsc.store.schema.engine.upgrade` and by nothing else."""
