"""A raw Windows event, however it was shipped, and the views of it that rules read."""
