"""Folders and files: locations, ownership, atomic writes, and the cache of built files."""
