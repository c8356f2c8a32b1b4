"""The workloads that come with isobench, one TOML file each."""
