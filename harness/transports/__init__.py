"""Ways to run an action on a target, behind `harness.ports.Transport`: two kinds of remote shell over one kind of line."""
