"""Whether the lab's events are those of a real Windows, field by field: what both sides look like, and in what they differ.

`story` makes the lab's hosts do what leaves every kind of event that they emit; `census` says what the fields of a stream of events look
like; `compare` sets two of those beside each other. None of it knows a rule or a scenario.
"""
