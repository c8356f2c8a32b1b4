"""Independent references: the same quantities measured another way, interleaved with ours in one session."""
