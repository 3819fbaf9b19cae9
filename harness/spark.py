"""A session of Apache Spark, for archives that outgrow one machine; and how its absence and its errors are told.

Spark is asked for where it is configured as it always is: `spark-defaults.conf`, `PYSPARK_SUBMIT_ARGS`, `SPARK_HOME`. Where none of them
names a master it runs here, on all cores, and nothing of it listens anywhere but on the loopback address. This module must never know what
Spark is used for.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from harness.errors import Problem, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# pyspark writes every query that is refused to standard error, in the book's own words: the error that follows says it.
for _name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_LOCAL = "local"

_SETTINGS = {
    "spark.app.name": "purple-harness",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",  # a text compared with a number is null where it is none, and no error
    "spark.sql.variable.substitute": "false",  # else ${env:...} in a query is a variable of this process's environment
    "spark.sql.catalogImplementation": "in-memory",
}
"""Settings without which the same question has another answer on another machine, or a port is opened that nobody asked for."""

_ON_THIS_MACHINE = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}


def absent() -> str:
    """What Spark lacks here to be started, for people; empty where it lacks nothing that can be told beforehand."""
    try:
        import pyspark  # noqa: F401 - whether it is there is all that is asked
    except ImportError:
        return "pyspark is not installed"
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=os.path.join(home, "bin") if home else None) is None:  # noqa: PTH118 - a search path, not a file's
        return f"there is no Java at JAVA_HOME ({home})" if home else "there is no Java on this machine"
    return ""


@contextmanager
def spark_session() -> Iterator[SparkSession]:
    """A session of our own, ended with the context. A process has one at a time.

    Raises `UsageError` where Spark is not installed, cannot be started or is asked for in a way that is not served.
    """
    if why := absent():
        fix = "pip install 'purple-harness[spark]'" if "pyspark" in why else "install Java 17 or later, or name it in JAVA_HOME"
        raise UsageError(Problem(path="", what=f"the engine Spark cannot be used: {why}", fix=fix))
    if "SPARK_REMOTE" in os.environ:
        what = "SPARK_REMOTE asks for Spark Connect, over which neither a query can be vetted nor our matcher be run"
        raise UsageError(Problem(path="", what=what, fix="unset it, and name a master in spark-defaults.conf or PYSPARK_SUBMIT_ARGS"))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with tempfile.TemporaryFile() as log:
        session = _started(log)
        try:
            yield session
        finally:
            session.stop()


def _started(log: IO[bytes]) -> SparkSession:
    """What Java says goes to `log`: none of it is for the harness's users, but for its end where Java does not start."""
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    try:
        if SparkContext._gateway is None:
            asked = SparkConf(loadDefaults=False).setAll(list(_SETTINGS.items()))
            SparkContext._gateway = launch_gateway(asked, {"stdout": log, "stderr": log})  # type: ignore[no-untyped-call]
            SparkContext._jvm = SparkContext._gateway.jvm
        conf = SparkConf().setAll(list(_SETTINGS.items()))
        if (conf.get("spark.master") or _LOCAL).startswith(_LOCAL):
            conf.setAll(list(_ON_THIS_MACHINE.items()))
            conf.setIfMissing("spark.master", f"{_LOCAL}[*]")
        context = SparkContext(conf=conf)
    except (PySparkException, Py4JError, OSError) as error:
        what = f"Spark cannot be started: {_last_line(log) or first_line(error)}"
        raise UsageError(Problem(path="", what=what, fix="Spark 4 needs Java 17 or later, and a master that answers")) from error
    return SparkSession(context)


def end_java(session: SparkSession) -> None:
    """End the process in which Spark runs: what is left where it does not end a question itself."""
    process = session.sparkContext._gateway.proc if session.sparkContext._gateway is not None else None
    if process is not None:
        process.kill()


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line for line in log.read(1 << 20).decode(errors="replace").splitlines() if line.strip()]
    return next((line.strip() for line in reversed(lines) if not line.startswith("\tat ")), "")


def first_line(error: BaseException) -> str:
    """What Spark says, at the root of what it says, without the pages of Java that follow."""
    root, said = getattr(error, "java_exception", None), str(error)
    while root is not None:
        said, root = str(root.getMessage() or root.getClass().getName()), root.getCause()
    return (said.strip().splitlines() or [type(error).__name__])[0]
