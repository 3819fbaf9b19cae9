"""`python -m lab.windows`: make the data files of this directory anew."""

from __future__ import annotations

from pathlib import Path

from lab.windows.data import FILES


def main() -> None:
    """Write them beside this file."""
    for name, made in FILES.items():
        (Path(__file__).parent / name).write_text(made(), encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
