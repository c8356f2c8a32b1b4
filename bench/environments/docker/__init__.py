"""Docker's engine, and containerd beneath it."""
