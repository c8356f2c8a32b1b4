"""The kinds of images that are compared, by name."""

from __future__ import annotations

ZSTD = "-zstd"
"""The end of the name of a kind that differs from another one only in that its layers are compressed with zstd."""
KINDS = {
    "scratch": "from scratch",
    "busybox": "static busybox",
    "distroless": "distroless-like",
    "distroless-zstd": "distroless-like, compressed with zstd",
    "slim": "slim distribution",
    "full": "full distribution",
    "full-zstd": "full distribution, compressed with zstd",
    "layers-1": "1 layer",
    "layers-10": "10 layers",
    "layers-50": "50 layers",
    "layers-120": "120 layers",
}
"""The kinds of images by name (bench/images/kinds.py makes them): common base images from the smallest to the largest,
and images that differ only in their number of layers or in their compression."""
