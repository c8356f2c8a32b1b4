"""Command-line runtimes."""
