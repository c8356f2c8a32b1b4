"""The kinds of images that are compared, by name."""

from __future__ import annotations

KINDS = {
    "scratch": "from scratch",
    "busybox": "static busybox",
    "distroless": "distroless-like",
    "slim": "slim distribution",
    "full": "full distribution",
    "layers-1": "1 layer",
    "layers-10": "10 layers",
    "layers-50": "50 layers",
    "layers-120": "120 layers",
}
"""The kinds of images by name (bench/images/kinds.py makes them): common base images from the smallest to the largest,
and images that differ only in their number of layers."""
