"""System dependencies, and installing them."""
