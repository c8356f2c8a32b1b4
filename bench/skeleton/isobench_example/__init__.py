"""Plug-ins for isobench, a module each. Check all of them with `isobench plugin check isobench_example`."""
