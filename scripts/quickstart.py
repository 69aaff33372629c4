"""The quick start after everything is built: `./quickstart` calls it.

Starts a Prefect server with an empty SQLite database and the worker, deploys the example flows from a git repository made
on the spot, runs each once and shows how the runs ended. Everything is started in a session of its own and stopped on the
way out, however that comes about.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from patient_api import ApiError, PatientApi

REPO = Path(__file__).resolve().parent.parent
POOL = "quickstart"
EXPECTED = {"hello": "COMPLETED", "etl": "COMPLETED", "fails": "FAILED"}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
SERVER_SECONDS = 300
RUNS_SECONDS = 900
GRACE_SECONDS = 20


class QuickstartError(Exception):
    """Something that the quick start needs did not work; the text is for its user."""


def main():
    arguments = argparse.ArgumentParser(
        prog="./quickstart", description="A Prefect server, the worker and three flows."
    )
    arguments.add_argument("--once", action="store_true", help="end after the runs; 0 when each ended as it should")
    arguments.add_argument("--worker", type=Path, required=True, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    sys.stdout.reconfigure(line_buffering=True)

    # A handler of our own also undoes an inherited "ignore" for what is started from here: a Python server that was
    # started with SIGINT ignored never ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)

    scratch = REPO / ".quickstart"
    scratch.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
    try:
        with contextlib.ExitStack() as running:
            good = Quickstart(home, options.worker.resolve(), running).show(options.once)
    except (QuickstartError, ApiError) as error:
        print(f"quickstart: {error}\nIts files are in {home}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped the worker and the server.")
        shutil.rmtree(home, ignore_errors=True)
        return 1 if options.once else 0
    if good:
        shutil.rmtree(home, ignore_errors=True)
        return 0
    print(f"quickstart: a run did not end as it should; the logs are in {home}", file=sys.stderr)
    return 1


def interrupt(number, frame):
    # Stopping takes a moment; a second Ctrl-C must not cut it short and leave processes behind.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, lambda *_: None)
    raise KeyboardInterrupt


class Quickstart:
    def __init__(self, home, worker, running):
        self.home = home
        self.worker = worker
        self.running = running
        self.daemons = {}
        self.ui = f"http://127.0.0.1:{free_port()}"
        self.api = PatientApi(f"{self.ui}/api", before_retry=self.daemons_must_live)
        self.environment = self.clean_environment()

    def clean_environment(self):
        """The caller's environment without its own Prefect and worker settings, which name another server."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "WORKER_"))}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        environment["PREFECT_HOME"] = str(self.home / "prefect")
        environment["PREFECT_API_URL"] = self.api.url
        environment["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
        environment["WORKER_STATE_DIR"] = str(self.home / "worker")
        environment["WORKER_PROCESS_PYTHON"] = sys.executable
        return environment

    def show(self, once):
        """Runs the whole show; true when each run ended as it should."""
        print(f"Starting a Prefect server on {self.ui}")
        self.start("server", prefect("server", "start", "--host", "127.0.0.1", "--port", port_of(self.ui)))
        self.wait_for_server()

        print(f"Making the work pool {POOL}, deploying {', '.join(EXPECTED)} from a git repository")
        # Both may be done twice, and the SDK gives up before a server does whose database is blocked.
        repository = self.make_repository()
        self.finish("work-pool", prefect("work-pool", "create", POOL, "--type", "process", "--overwrite"), tries=3)
        self.finish("deploy", [sys.executable, REPO / "examples" / "deploy.py", repository, POOL], tries=3)

        print(f"Starting the worker: {shown(self.worker)} start --pool {POOL}")
        self.start("worker", [self.worker, "start", "--pool", POOL])

        runs = {name: self.api.create_run(f"{name}/quickstart", RUNS_SECONDS) for name in EXPECTED}
        states = self.follow(runs)
        print_table(states)
        good = {name: state["type"] for name, state in states.items()} == EXPECTED
        if good and not once:
            self.stay()
        return good

    def start(self, name, command):
        """Starts a daemon in a session of its own; it is stopped when `running` closes."""
        with open(self.home / f"{name}.log", "wb") as log:
            daemon = subprocess.Popen(
                command,
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.daemons[name] = daemon
        self.running.callback(stop, daemon)

    def finish(self, name, command, tries=1):
        """Runs `command` to its end, which must be a good one in one of so many tries."""
        for _ in range(tries):
            self.daemons_must_live()
            with open(self.home / f"{name}.log", "ab") as log:
                ended = subprocess.run(
                    command,
                    cwd=self.home,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            if ended.returncode == 0:
                return
        raise QuickstartError(f"{name} failed:\n{self.end_of_log(name)}")

    def end_of_log(self, name):
        return "\n".join((self.home / f"{name}.log").read_text(errors="replace").splitlines()[-30:])

    def daemons_must_live(self):
        for name, daemon in self.daemons.items():
            if daemon.poll() is not None:
                raise QuickstartError(f"the {name} ended by itself:\n{self.end_of_log(name)}")

    def wait_for_server(self):
        try:
            self.api.call("/health", seconds=SERVER_SECONDS)
        except ApiError as error:
            raise QuickstartError(f"the server does not serve: {error}\n{self.end_of_log('server')}") from error

    def make_repository(self):
        """A git repository with the example flows, as an address that `git clone` takes."""
        repository = self.home / "flows"
        shutil.copytree(REPO / "examples" / "flows", repository, ignore=shutil.ignore_patterns("__pycache__"))
        author = ["-c", "user.name=quickstart", "-c", "user.email=quickstart@localhost", "-c", "commit.gpgsign=false"]
        git = ["git", "-C", repository]
        self.finish("git", [*git, "init", "--quiet"])
        self.finish("git", [*git, "symbolic-ref", "HEAD", "refs/heads/main"])
        self.finish("git", [*git, "add", "."])
        self.finish("git", [*git, *author, "commit", "--quiet", "--message", "example flows"])
        return repository.as_uri()

    def follow(self, runs):
        """Prints each change of state until every run has ended; returns the last states by flow name."""
        started = time.monotonic()
        states = {}
        while (left := started + RUNS_SECONDS - time.monotonic()) > 0:
            self.daemons_must_live()
            for flow, run in runs.items():
                state = self.api.call(f"/flow_runs/{run}", seconds=left)["state"]
                if state["id"] != states.get(flow, {}).get("id"):
                    print(f"  {time.monotonic() - started:5.1f} s  {flow:<6} {state['name']}")
                    states[flow] = state
            if all(state["type"] in ENDED for state in states.values()):
                return states
            time.sleep(0.3)
        log = self.end_of_log("worker")
        raise QuickstartError(f"not every run had ended after {RUNS_SECONDS} s; the end of the worker's log:\n{log}")

    def stay(self):
        prefix = f"PREFECT_API_URL={self.api.url}"
        print(f"\nPrefect UI       {self.ui}")
        print(f"Another run      {prefix} {shown(prefect_command())} deployment run hello/quickstart -p name=you")
        print(f"Logs             {shown(self.home)}")
        print("Ctrl-C stops the worker and the server and removes what they wrote.")
        while True:
            self.daemons_must_live()
            time.sleep(0.5)


def stop(daemon):
    """Ends the daemon, politely at first, and then all that is left of its process group."""
    if daemon.poll() is None:
        daemon.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()


def print_table(states):
    print("\n  flow    ended as    expected")
    for flow, state in states.items():
        print(f"  {flow:<7} {state['name']:<11} {EXPECTED[flow].capitalize()}")


def prefect(*arguments):
    return [prefect_command(), "--no-prompt", *arguments]


def prefect_command():
    return Path(sys.executable).with_name("prefect")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_of(address):
    return address.rsplit(":", 1)[1]


def shown(path):
    with contextlib.suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path


if __name__ == "__main__":
    sys.exit(main())
