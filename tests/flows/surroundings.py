"""A flow that writes down all that it can see of the process that it is in, and flows that use what may differ."""

import concurrent.futures
import gc
import json
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from pathlib import Path

MODULES = sorted(sys.modules)

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.context import get_settings_context  # noqa: E402


def write(name, value):
    run = os.environ["PREFECT__FLOW_RUN_ID"]
    path = Path(os.environ["NOTES"], f"{name}-{run}.json")
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value, default=str))
    draft.rename(path)


def stream(stream):
    raw = getattr(stream.buffer, "raw", stream.buffer)
    return {
        "encoding": stream.encoding,
        "errors": stream.errors,
        "newlines": str(stream.newlines),
        "line_buffering": stream.line_buffering,
        "write_through": stream.write_through,
        "mode": stream.mode,
        "name": stream.name,
        "buffer": type(stream.buffer).__name__,
        "raw_mode": raw.mode,
        "fileno": stream.fileno(),
        "closefd": raw.closefd,
    }


def logger(name):
    logger = logging.getLogger(name or None)
    handlers = [
        [type(handler).__name__, handler.level, type(handler.formatter).__name__, getattr(handler, "stream", None) is not None]
        for handler in logger.handlers
    ]
    return [logger.level, logger.propagate, logger.disabled, handlers, len(logger.filters)]


def main_module():
    main = sys.modules["__main__"]
    return {
        "file": main.__file__,
        "name": main.__name__,
        "package": main.__package__,
        "spec": main.__spec__.name,
        # It is there once something has warned.
        "names": sorted(set(vars(main)) - {"__warningregistry__"}),
    }


def status(*names):
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: fields[name].strip() for name in names}


def shown():
    arguments = Path("/proc/self/cmdline").read_bytes()
    environment = Path("/proc/self/environ").read_bytes().split(b"\0")
    key = os.environ["WORKER_LAUNCH_KEY"].encode()
    return {
        "cmdline": arguments.rstrip(b"\0").decode().split("\0"),
        "comm": Path("/proc/self/comm").read_text(),
        "is_marked": b"WORKER_LAUNCH_KEY=" + key in environment,
    }


def descriptors():
    """Those that were not opened by clients, which threads start."""
    opened = {}
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        of_clients = ("socket:", "anon_inode:", "pipe:", f"/proc/{os.getpid()}/fd")
        if not target.startswith(of_clients) and not target.endswith("/cacert.pem"):
            opened[name] = [Path(target).name, os.get_inheritable(int(name))]
    return opened


def child(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


CHILD = """
import json, os, signal, sys
print(json.dumps({
    "environment": dict(os.environ), "cwd": os.getcwd(), "path": sys.path, "umask": os.umask(0),
    "signals": {s.name: str(signal.getsignal(s)) for s in sorted(signal.valid_signals()) if isinstance(s, signal.Signals)},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "descriptors": sorted(os.listdir("/proc/self/fd"))[:3],
}, default=str))
"""


@flow(log_prints=True)
def describe():
    print("printed by the flow")
    get_run_logger().info("logged by the flow")
    mask = os.umask(0)
    os.umask(mask)
    settings = get_settings_context()
    write(
        "same",
        {
            "environment": dict(os.environ),
            "environment_order": sorted(os.environb),
            "cwd": os.getcwd(),
            "path": sys.path,
            "argv": sys.argv,
            "orig_argv": sys.orig_argv,
            "flags": str(sys.flags),
            "executable": sys.executable,
            "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix],
            "hooks": [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__],
            "same_streams": [sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
            "streams": {name: stream(getattr(sys, f"__{name}__")) for name in ("stdin", "stdout", "stderr")},
            "main": main_module(),
            "shown": shown(),
            "descriptors": descriptors(),
            "stdin": sys.stdin.read(),
            "umask": mask,
            "nice": os.nice(0),
            "users": [os.getresuid(), os.getresgid(), os.getgroups()],
            "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT")},
            "oom": Path("/proc/self/oom_score_adj").read_text(),
            "status": status("SigIgn", "SigCgt", "SigBlk", "CapEff", "CapInh", "NoNewPrivs", "Seccomp", "Umask"),
            "affinity": sorted(os.sched_getaffinity(0)),
            "cgroup": Path("/proc/self/cgroup").read_text(),
            "groups": [os.getpgid(0) == os.getpid(), os.getsid(0) == os.getppid(), os.getsid(0) == os.getpid()],
            "parent": Path(f"/proc/{os.getppid()}/comm").read_text(),
            "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text().split(),
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "is_main": threading.current_thread() is threading.main_thread(),
            "ident": threading.main_thread().native_id == os.getpid(),
            "signals": {
                number.name: str(getattr(signal.getsignal(number), "__name__", signal.getsignal(number)))
                for number in sorted(signal.valid_signals())
                if isinstance(number, signal.Signals)
            },
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "locale": [locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(), sys.getfilesystemencoding()],
            "zone": [time.tzname, time.timezone],
            "collector": [gc.isenabled(), gc.get_threshold()],
            "recursion": [sys.getrecursionlimit(), sys.getswitchinterval()],
            "warnings": [str(item) for item in warnings.filters],
            "temporary": tempfile.gettempdir(),
            "start_method": multiprocessing.get_start_method(allow_none=True),
            "relative_time": logging.LogRecord("n", 20, "p", 1, "m", (), None).relativeCreated < 60_000,
            "loggers": {
                name: logger(name)
                for name in ["", "prefect", "prefect.engine", "prefect.flow_runs", "prefect.task_runs", "prefect.extra",
                             "prefect.client", "prefect._internal", "prefect.server", "httpx", "asyncio"]
            },
            "profile": settings.profile.name,
            "settings": settings.settings.model_dump(mode="json", context={"include_secrets": True}),
            "child": child(CHILD),
        },
    )
    write(
        "differs",
        {
            "random": random.random(),
            "uuid": str(uuid.uuid4()),
            "urandom": os.urandom(8).hex(),
            "name": next(tempfile._get_candidate_names()),
            "authkey": bytes(multiprocessing.current_process().authkey).hex(),
            "key": os.environ["WORKER_LAUNCH_KEY"],
            "pid": os.getpid(),
        },
    )
    # Nothing but a preloaded Python has put so many objects where the collector does not look.
    write("warm", gc.get_freeze_count() > 50_000)
    write("modules", MODULES)


def square(number):
    return [number * number, os.environ["PREFECT__FLOW_RUN_ID"], multiprocessing.current_process().name]


@task
def threaded(number):
    get_run_logger().info(f"task {number}")
    return [number, threading.current_thread() is threading.main_thread()]


@flow
async def uses_everything():
    """Threads, processes started in both ways, a pool, tasks, and an async flow around them."""
    results = {"tasks": [future.result() for future in threaded.map([1, 2, 3])]}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results["threads"] = sorted(pool.map(abs, [-1, -2]))
    for method in ("spawn", "fork", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            results[method] = pool.map(square, [2, 3])
    results["shell"] = subprocess.run("echo $PREFECT__FLOW_RUN_ID; cat /proc/$PPID/comm", shell=True, capture_output=True, text=True).stdout
    write("same", results)


@flow
def ends_by_signal():
    os.kill(os.getpid(), signal.SIGSEGV)


@flow
def is_interrupted():
    raise KeyboardInterrupt


@flow
def recurses():
    return recurses_for_ever()


def recurses_for_ever():
    return recurses_for_ever()


@flow
def writes_at_exit():
    import atexit

    atexit.register(lambda: write("same", "at exit"))
    print("without a newline", end="")


@flow
def hangs_up():
    """SIGHUP and SIGPIPE do what they do."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        os.write(writer, b"x")
        written = "written"
    except BrokenPipeError:
        written = "broken"
    write("same", [written, str(signal.getsignal(signal.SIGHUP))])
