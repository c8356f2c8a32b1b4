"""A run as a command asks for it: measured, told meanwhile, concluded; and the trials of hosts and plug-ins."""
