"""What people and machines read of a run: one file a format, each a consumer of `harness.model.report.Progress`."""
