"""isobench measures what isolation costs, from a raw process to a virtual machine."""

__version__ = "0.1.0"
