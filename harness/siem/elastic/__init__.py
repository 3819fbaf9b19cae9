"""Elasticsearch as the SIEM: events that shippers put there, and alerts and runs of whichever detection engines write there."""
