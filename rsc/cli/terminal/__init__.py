"""The terminal: documents, tables, numbers and progress as text."""
