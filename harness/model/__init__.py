"""The words of the project: frozen dataclasses and enums, values only. Nothing here reads a clock, a file or a socket."""
