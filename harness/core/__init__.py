"""The pure centre: plan, attribution, judgement, coverage. Facts in, verdicts out; no socket, clock, file or thread."""
