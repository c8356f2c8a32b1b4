"""Measuring: environments are opened, blocks are measured cell by cell, and every block is saved at once."""
