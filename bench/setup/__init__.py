"""What is used of the system, and installing it."""
