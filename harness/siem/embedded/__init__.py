"""The embedded SIEM: one SQLite file, written by a service in the lab's process and read by the harness from another."""
