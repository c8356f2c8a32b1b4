"""Runs on disk: the record, pyperf's suite, the journal of a run while it grows."""
