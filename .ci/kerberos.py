"""Builds what Kerberos needs into the environment that runs this, where the machine has MIT's libraries and a compiler; else says why not.

It never fails: tests of Kerberos are skipped where it is absent, and fail where HARNESS_REQUIRE asks for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

# The extra `kerberos`, and pykerberos, which pywinrm's own Kerberos is tested with.
WANTED = ("pyspnego[kerberos]>=0.12,<0.13", "pykerberos>=1.2.1,<2")


def main() -> int:
    """Build, or say why not."""
    absent = [program for program in ("krb5-config", "cc") if shutil.which(program) is None]
    if absent:
        sys.stderr.write(f"Kerberos is left out: {', '.join(absent)} not found (apt-get install libkrb5-dev gcc)\n")
        return 0
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", *WANTED], check=False)
    if done.returncode:
        sys.stderr.write("Kerberos is left out: it cannot be built here, see above\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
