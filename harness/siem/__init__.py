"""Adapters of the `Siem` port, a package or file each."""
