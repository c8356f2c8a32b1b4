"""Processes, chroot and namespaces, started by the C launcher."""
