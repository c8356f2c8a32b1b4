"""What is true of this host and its processes: facts, counters, memory, cgroups, programs."""
