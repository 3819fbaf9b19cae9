"""What makes a real Windows host a target of the lab, and back: PowerShell, and the data that it works by.

The data is made from the one table of settings, `harness.events.audit`, by `python -m lab.windows`: what a host is given, what
`harness doctor` asks it for and what `rules explain` tells cannot differ.
"""
