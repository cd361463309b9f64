"""The schema: tables, column types, migrations, and the engine that connects to them."""
