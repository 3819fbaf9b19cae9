"""A purple-team test harness that proves detections."""

__version__ = "0.1.0"
