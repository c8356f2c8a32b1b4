"""Folders and files: where they are, whose they are, whole or not at all, built once."""
