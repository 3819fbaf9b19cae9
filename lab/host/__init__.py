"""The emulated Windows host: what a command returns and what telemetry it leaves. It never runs a received command."""
