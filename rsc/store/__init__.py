"""Facts in the database: written once by one writer, read and checked by everyone.

The only package that knows SQLAlchemy, Alembic and psycopg2. It stores what the
kernel recorded and what the training reports, and it can prove that nothing was
lost, doubled or changed; it never computes a fact that somebody else has made.
Start with `rsc.store.runs.writes` (writing) and `rsc.store.runs.queries` (reading).
"""
