"""Makes the virtual environments that `make demo`, `make test` and the rest run in, from pyproject.toml.

environments.py demo DATABASE     prints the interpreter of the demo's environment
environments.py test              prints the interpreter of the newest test environment
environments.py histories PROJECT prints the interpreter of an environment with that project's apps
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = ROOT / "pyproject.toml"

#: What mysqlclient, which has no wheel, needs on Debian to be built.
DEBIAN_PACKAGES = ("gcc", "libc6-dev", "python3-dev", "libmariadb-dev", "pkg-config")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that can make virtual environments."""

    minor: int
    path: str

    @property
    def django(self) -> str:
        """The Django that it is tested with: the newest that it runs."""
        return "5.2" if self.minor < 12 else "6.1"


#: Environments are made side by side, and Debian's package manager serves one at a time.
_debian = threading.Lock()


def say(text: str) -> None:
    """A line for people; what scripts read is alone on the standard output."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def interpreters() -> list[Interpreter]:
    """Every usable Python from 3.11 on, the newest first."""
    listing = subprocess.run([ROOT / "tools" / "pythons"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = []
    for line in listing.splitlines():
        version, _, path = line.partition(" ")
        found.append(Interpreter(int(version.split(".")[1]), path))
    return found


def groups(*names: str) -> list[str]:
    """The requirements of these dependency groups."""
    table = tomllib.loads(PYPROJECT.read_text())["dependency-groups"]
    requirements: list[str] = []
    for name in names:
        for entry in table[name]:
            requirements += groups(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return requirements


def address(vendor: str) -> tuple[str, str]:
    """The variable that says where a database server is, and what it says: "host:port", or empty for "nowhere"."""
    variable, usual = {
        "postgres": ("GUARD_TEST_POSTGRES", "127.0.0.1:5432"),
        "mariadb": ("GUARD_TEST_MARIADB", "127.0.0.1:3306"),
    }[vendor]
    return variable, os.environ.get(variable, usual)


def listens(vendor: str) -> bool:
    """Whether something listens where a server of this vendor is expected."""
    host, _, port = address(vendor)[1].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def make(name: str, interpreter: Interpreter, requirements: Sequence[str], *, mariadb: bool) -> Path:
    """The interpreter of a virtual environment that has this checkout and the requirements; made if it is not there.

    Raises subprocess.CalledProcessError where it cannot be made. A driver for MariaDB that cannot be had is left out,
    and that is said.
    """
    directory = ROOT / name
    python = directory / "bin" / "python"
    stamp = directory / "made-from"
    recipe = hashlib.sha256(
        "\n".join([PYPROJECT.read_text(), interpreter.path, *requirements, f"mariadb: {mariadb}"]).encode()
    ).hexdigest()
    if stamp.exists() and stamp.read_text() == recipe:
        return python
    say(f"Making {name} with Python 3.{interpreter.minor} …")
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([interpreter.path, "-m", "venv", directory], check=True, stdout=sys.stderr)
    _install(python, f"Django~={interpreter.django}.0", *requirements, "--editable", str(ROOT))
    if mariadb and not _mysqlclient(python):
        say(
            "MariaDB is left out: its driver, mysqlclient, could not be built. It needs a C compiler, pkg-config and "
            f"MariaDB's client headers (Debian: apt-get install {' '.join(DEBIAN_PACKAGES)}). Then remove {name} and "
            "try again."
        )
    stamp.write_text(recipe)
    return python


def _install(python: Path, *arguments: str, quietly: bool = False) -> None:
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments],
        check=True,
        stdout=sys.stderr,
        stderr=subprocess.DEVNULL if quietly else None,
    )


def _mysqlclient(python: Path) -> bool:
    requirement = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["mysql"]
    if _installed(python, requirement):
        return True
    with _debian:
        # Another environment may have brought what it needs meanwhile.
        return _installed(python, requirement) or (debian(*DEBIAN_PACKAGES) and _installed(python, requirement))


def debian(*packages: str) -> bool:
    """Install Debian's packages, where this is such a machine and one may; whether they are there then."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    say("Installing " + ", ".join(packages))
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return all(
        subprocess.run(["apt-get", *arguments], env=environ, stdout=subprocess.DEVNULL).returncode == 0
        for arguments in (["update", "-qq"], ["install", "-qq", "--no-install-recommends", *packages])
    )


def _installed(python: Path, requirement: Sequence[str]) -> bool:
    try:
        _install(python, *requirement, quietly=True)
    except subprocess.CalledProcessError:
        return False
    return True


def demo(vendor: str) -> Path:
    """The interpreter of the demo's environment: the package, gunicorn, and the driver of one database."""
    gunicorn = [each for each in groups("test") if each.startswith("gunicorn")]
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    drivers = extras["postgres"] if vendor == "postgres" else []
    # One environment for each database, so that none is made anew when another one was tried in between.
    name = ".venv-demo" if vendor == "sqlite" else f".venv-demo-{vendor}"
    return make(name, interpreters()[0], [*gunicorn, *drivers], mariadb=vendor == "mariadb")


def test(interpreter: Interpreter, *, mariadb: bool, lint: bool) -> Path:
    """The interpreter of a test environment: everything that tests need, and with `lint` ruff, mypy and the docs."""
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    return make(
        f".venv-test-3.{interpreter.minor}",
        interpreter,
        [*groups("test", *(("lint", "docs") if lint else ())), *extras["postgres"]],
        mariadb=mariadb,
    )


def histories(project: str) -> Path:
    """The interpreter of an environment in which a project's published apps are installed beside the test tools.

    Raises KeyError where there is no such project.
    """
    sys.path.insert(0, str(ROOT))
    from tests.histories.projects import PROJECTS

    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    # Published apps support a new Django later than Django's release.
    interpreter = next((each for each in interpreters() if each.django == "5.2"), interpreters()[0])
    return make(
        f".venv-histories-{project}",
        interpreter,
        [*groups("test"), *extras["postgres"], *PROJECTS[project].requirements],
        mariadb=listens("mariadb"),
    )


def main() -> int:
    """Make one environment and print its interpreter."""
    try:
        match sys.argv[1:]:
            case ["demo", vendor]:
                python = demo(vendor)
            case ["test"]:
                python = test(interpreters()[0], mariadb=listens("mariadb"), lint=True)
            case ["histories", project]:
                python = histories(project)
            case _:
                say((__doc__ or "").strip())
                return 2
    except KeyError as error:
        say(f"There is no project {error}: see tests/histories/projects.py.")
        return 2
    except subprocess.CalledProcessError as error:
        say(f"The environment could not be made: {error}")
        return 1
    sys.stdout.write(f"{python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
