"""Records in bulk: from arrays to database rows with checksums, and back."""
