"""Ways to run an action on a target: one adapter each behind `harness.ports.Transport`."""
