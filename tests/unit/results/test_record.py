"""Which machine a record is of."""

from __future__ import annotations

from isobench.results.record import machine


def test_two_machines_of_one_image_are_two() -> None:
    """One machine-id, two processors: an image was cloned. Another kernel is the same machine."""
    intel = {"cpu": "Intel(R) Xeon(R) Gold 6342", "cpus": "8", "kernel": "6.1"}
    amd = {"cpu": "AMD EPYC 7R13", "cpus": "8", "kernel": "6.1"}
    assert machine("web-1234", intel) != machine("web-1234", amd)
    assert machine("web-1234", intel) != machine("web-1234", {**intel, "cpus": "16"})
    assert machine("web-1234", intel) == machine("web-1234", {**intel, "kernel": "6.12", "qemu": "8.2"})
    assert machine("web-1234", intel) != machine("web-5678", intel)
