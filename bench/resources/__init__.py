"""What instances use of this host, and what they may use: memory, CPU time, cgroups, disk, network."""
