"""Guests of QEMU and KVM, by libvirt."""
