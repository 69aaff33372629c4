"""Makes .tools/prefect-docker: the locked Python environment of the tests, and Prefect's Docker worker beside it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from measuring.daemons import MeasureError

REPO = Path(__file__).resolve().parent.parent.parent
LOCKS = [REPO / "tests" / "python" / "requirements.lock", Path(__file__).with_name("prefect-docker.lock")]
VENV = REPO / ".tools" / "prefect-docker"
INTERPRETER = VENV / "bin" / "python"
STAMP = VENV / "complete"


def interpreter():
    """The interpreter of the environment, which is made unless it is the one that the locks describe."""
    VENV.parent.mkdir(exist_ok=True)
    with open(VENV.with_suffix(".lock"), "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (STAMP.is_file() and STAMP.read_text() == wanted() and INTERPRETER.exists()):
            install()
    return INTERPRETER


def wanted():
    """What the stamp of a complete environment says: a moved checkout or another Python is another environment."""
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS)).hexdigest()
    return "{}\n{}.{}\n{}\n".format(digest, *sys.version_info[:2], VENV)


def install():
    print(f"measure: installing Prefect and its Docker worker into {VENV.relative_to(REPO)}", file=sys.stderr)
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(VENV)])
    pip = [str(INTERPRETER), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    # The locks name every package, so pip resolves nothing: `pip check` then proves that nothing is missing.
    for lock in LOCKS:
        run([*pip, "install", "--quiet", "--require-hashes", "--no-deps", "--requirement", str(lock)])
    run([*pip, "check"])
    STAMP.write_text(wanted())


def run(command):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    if subprocess.call(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, env=environment) != 0:
        raise MeasureError(f"`{' '.join(command)}` failed")
