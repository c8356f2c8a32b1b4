"""How a command makes a run: measurement, messages meanwhile, conclusions; and the trials of hosts and plug-ins."""
