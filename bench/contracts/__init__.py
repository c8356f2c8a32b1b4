"""The protocols of environments and scenarios, and bounded reading of the probe's answers."""
