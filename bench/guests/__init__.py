"""What a guest boots: kernel, modules, initramfs and disk."""
