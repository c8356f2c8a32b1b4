"""Many hosts, measured by the Ansible collection in contrib/ansible (`collection` is a link to it)."""
