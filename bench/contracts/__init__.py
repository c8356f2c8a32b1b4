"""What environments and scenarios are to the rest: the protocols, and the probe's answers read with bounds."""
