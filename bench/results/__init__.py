"""Runs on disk: the record, pyperf's suite, the journal of an unfinished run."""
