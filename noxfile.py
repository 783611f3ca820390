"""All checks: ``nox``. They run in the environment that nox runs in, but for the wheel, which gets a fresh one."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "tests", "wheel"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.run(sys.executable, "-m", "ruff", "check", ".")
    session.run(sys.executable, "-m", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over everything, tests and benchmarks included."""
    session.run(sys.executable, "-m", "mypy")


# Much of the time tests wait for programs that they have started. Files with few tests are the slow ones: they are not
# to come last, when the other workers have nothing to do any more.
PYTEST = ["pytest", "-n", str(2 * (os.cpu_count() or 1)), "--dist", "loadfile", "--no-loadscope-reorder"]


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, the documentation's examples among them; every line of the wire formats is reached by theirs."""
    session.run(sys.executable, "-m", "coverage", "erase")
    session.run(sys.executable, "-m", "coverage", "run", "-m", *PYTEST, "tests/wire")
    session.run(sys.executable, "-m", "coverage", "combine", "-q")
    session.run(sys.executable, "-m", "coverage", "report", "--include=skywire/wire/*", "--fail-under=100")
    session.run(sys.executable, "-m", *PYTEST, "--ignore", "tests/wire", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """How much of the library its tests reach. It takes a third longer than they do, so it is asked for by name."""
    session.run(sys.executable, "-m", "coverage", "erase")
    session.run(sys.executable, "-m", "coverage", "run", "-m", *PYTEST, *session.posargs)
    session.run(sys.executable, "-m", "coverage", "combine", "-q")
    # What is only reached through programs, as their users run them, is tested and not measured.
    session.run(sys.executable, "-m", "coverage", "report", "--omit=skywire/cli/*", "--fail-under=96")


@nox.session(venv_backend="venv")
def wheel(session: nox.Session) -> None:
    """What users install: the wheel in an empty environment, its programs run from elsewhere."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    session.install("build", "mypy")
    for source in (".", "examples/hello_app"):
        session.run("python", "-m", "build", "--wheel", "--outdir", str(folder / "dist"), source, silent=True)
    session.install("--force-reinstall", *map(str, (folder / "dist").glob("*.whl")))
    check = Path("tests/programs/third_party.py").resolve()
    session.chdir("/")
    session.run("python", "-c", "import skywire, pdb, cmd; cmd.Cmd; print(skywire.__version__)")
    page = "skywire.apps.log_server.__path__[0] + '/page/page.js'"
    session.run("python", "-c", f"import skywire.apps.log_server; open({page}).close()")
    for program in ("skywire", "dmsg", "standalone"):
        session.run(program, "--version")
    # A stranger's package beside it: checked as strictly as ours, and run in each way that an app can run.
    session.run("python", "-m", "mypy", "--strict", "--cache-dir", str(folder / "mypy"), "-p", "hello_app")
    session.run("python", str(check), tempfile.mkdtemp(dir=folder))


@nox.session
def matrix(session: nox.Session) -> None:
    """Every app in every mode, as processes that talk with each other: a line for each, and a table."""
    session.run(sys.executable, "-m", "tests.matrix")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Figures against their floors; not a check."""
    session.run(sys.executable, "-m", "benchmarks", *session.posargs)
