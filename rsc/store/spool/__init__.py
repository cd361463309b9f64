"""The spool: writes that wait on disk while the database is away."""
