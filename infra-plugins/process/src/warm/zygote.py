# A Python that has imported Prefect's SDK and becomes one flow run per fork. The worker starts it as
# `python - worker-warmpool` with this text as standard input, and speaks with it through standard output, a socket.
# It is forked before there is any thread, event loop or client, and says so: what it finds unfit it says, and ends.

import os
import sys


def zygote():
    """Returns in a process that is to become a flow run, and in no other."""
    import array
    import gc
    import json
    import signal
    import socket
    import struct
    import threading
    import time

    SPEC, ANSWER, PROGRAM = 0, 1, 2
    # With it the run's command line and variables can be shown where the zygote's own are.
    SHOWN_AS = ("-", "worker-warmpool")
    MARKER = "WORKER_LAUNCH_KEY"

    # What an engine imports before the flow, and in nearly every run after it. Only modules of the SDK and those it
    # brings in: a name that a flow's own code could have is imported by the flow.
    MODULES = """
        prefect.main prefect._internal.control_listener prefect._internal.metrics prefect.flow_engine
        prefect.task_engine prefect.deployments.steps.core prefect.deployments.steps.pull
        prefect.deployments.steps.utility prefect.locking._filelock prefect.runner.runner prefect.runner.storage
        prefect._internal.integrations prefect._internal.installation prefect.events.clients prefect.events.worker
        prefect.logging.handlers anyio._backends._asyncio anyio.streams.memory anyio.streams.stapled anyio.streams.tls
        rich._emoji_codes encodings.idna stringprep packaging.requirements pydantic.v1 prefect.logging.formatters
    """.split()

    # Models that nearly every run uses, of which the SDK builds what checks their values when they are first used.
    MODELS = """
        prefect.client.schemas.objects.FlowRun prefect.client.schemas.objects.WorkPool
        prefect.client.schemas.objects.WorkQueue prefect.client.schemas.objects.ServerDefaultResultStorage
        prefect.client.schemas.responses.DeploymentResponse prefect.client.schemas.actions.FlowRunUpdate
        prefect.client.schemas.actions.LogCreate prefect.events.schemas.events.Event
        prefect.events.filters.EventFilter prefect.events.filters.EventNameFilter
        prefect.events.filters.EventIDFilter prefect.events.filters.EventOccurredFilter
    """.split()

    # Files of the working directory that the SDK reads settings from. A run that has one starts cold.
    SETTINGS_FILES = (".env", "prefect.toml", "pyproject.toml")

    # Settings by which runs differ from their zygote, which is told no secret, and on which how they log does not depend.
    SECRETS = {"PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"}

    class Unfit(Exception):
        """Why forks of this process would not be as a process of their own."""

    def frame(value):
        text = json.dumps(value).encode()
        return struct.pack("!I", len(text)) + text

    def receive(connection):
        """A frame and the descriptors that came with it; nothing at the end."""
        data, descriptors = b"", array.array("i")
        while len(data) < 4 or len(data) < 4 + struct.unpack("!I", data[:4])[0]:
            wanted = 4 if len(data) < 4 else 4 + struct.unpack("!I", data[:4])[0]
            part, ancillary, _flags, _address = connection.recvmsg(
                wanted - len(data), socket.CMSG_SPACE(4 * descriptors.itemsize), socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
            if not part:
                return None, []
            data += part
        return json.loads(data[4:]), list(descriptors)

    class Recorded(dict):
        """The variables, with a note of which were asked for."""

        def __init__(self, variables):
            super().__init__(variables)
            self.asked = set()

        def __getitem__(self, name):
            self.asked.add(name)
            return super().__getitem__(name)

    def import_the_sdk():
        """Imports; which variables were looked at meanwhile."""
        import importlib

        recorded = Recorded(os.environ._data)
        plain, os.environ._data = os.environ._data, recorded
        os.environb._data = recorded
        try:
            import prefect.logging.configuration as configuration

            # The logging of a run is set up in the run, with its settings, on its streams.
            set_up = configuration.setup_logging
            configuration.setup_logging = lambda incremental=None: {}
            try:
                import prefect.main
            finally:
                configuration.setup_logging = set_up
            for name in MODULES:
                try:
                    importlib.import_module(name)
                except ModuleNotFoundError:
                    # Another release of the SDK; a run imports what it needs.
                    pass
            import prefect.engine
            build_models()
        finally:
            os.environ._data = os.environb._data = plain
        return sorted(os.fsdecode(name) for name in recorded.asked)

    def build_models():
        for path in MODELS:
            module, _dot, name = path.rpartition(".")
            model = getattr(sys.modules.get(module), name, None)
            if hasattr(model, "model_rebuild"):
                model.model_rebuild(raise_errors=False)

    def settings_variables():
        """The variables that Prefect's settings are read from. Those with two underscores belong to one run."""
        is_setting = lambda name: name.upper().startswith("PREFECT_") and not name.startswith("PREFECT__")
        return {name: value for name, value in os.environ.items() if is_setting(name)}

    def read_ahead():
        """The settings, as a run with the same variables reads them, and how it logs. Nothing if reading says anything, which each
        run is to say, or if there are settings here, where no run is."""
        import contextlib
        import io
        import warnings

        import prefect.context
        import prefect.logging.configuration as configuration

        if any(os.path.lexists(name) for name in SETTINGS_FILES):
            return None
        said = io.StringIO()
        with (
            warnings.catch_warnings(record=True) as warned,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("always")
            prefect.context.refresh_global_settings_context()
            logging = configuration.load_logging_config(configuration.DEFAULT_LOGGING_SETTINGS_PATH)
        if warned or said.getvalue():
            return None
        return {"variables": settings_variables(), "logging": logging}

    def look_fit(descriptors):
        if threading.active_count() != 1 or len(os.listdir("/proc/self/task")) != 1:
            raise Unfit("something that is imported starts threads")
        with open(f"/proc/self/task/{os.getpid()}/children") as children:
            if children.read().split():
                raise Unfit("something that is imported starts processes")
        if open_descriptors() - descriptors:
            raise Unfit("something that is imported keeps files open")
        look_at_settings()

    def open_descriptors():
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        # That of the directory is among them, and closed by now.
        return {number for number in numbers if os.path.lexists(f"/proc/self/fd/{number}")}

    def look_at_settings():
        import prefect.settings

        settings = prefect.settings.get_current_settings()
        plugins = getattr(settings, "plugins", None)
        if plugins is not None and plugins.enabled:
            raise Unfit("plugins of Prefect are enabled, which act when it is imported")
        if prefect.settings.PREFECT_LOGGING_SETTINGS_PATH.value().exists():
            raise Unfit("there is a logging configuration of its own")

    def watched():
        """The files by whose change it is seen that another SDK, or another profile, is there now."""
        import importlib.metadata

        import prefect.settings

        paths = {sys.executable, os.path.realpath(sys.executable), os.path.join(sys.prefix, "pyvenv.cfg")}
        paths.update(path for path in sys.path if path)
        for module in list(sys.modules.values()):
            origin = getattr(module, "__file__", None)
            if origin and "." not in module.__name__:
                paths.add(origin)
        paths.add(str(importlib.metadata.distribution("prefect").locate_file(".")))
        metadata = getattr(importlib.metadata.distribution("prefect"), "_path", None)
        if metadata is not None:
            paths.add(str(metadata))
        paths.add(str(prefect.settings.PREFECT_PROFILES_PATH.value()))
        return {path: stamp(path) for path in sorted(paths)}

    def stamp(path):
        try:
            status = os.stat(path)
        except OSError:
            return None
        return [status.st_mtime_ns, status.st_size, status.st_ino]

    def main_program():
        """The whole life of the zygote. Returns only in a fork."""
        worker = os.getppid()
        # What the worker itself was started with goes on to every run, as in a cold start.
        inherited = open_descriptors()
        control = socket.socket(fileno=os.dup(ANSWER))
        for number, flags in ((SPEC, os.O_RDONLY), (ANSWER, os.O_WRONLY)):
            null = os.open(os.devnull, flags)
            os.dup2(null, number, inheritable=True)
            os.close(null)
        if not getattr(sys.flags, "safe_path", False):
            # Neither this program's directory nor the root is where modules are.
            del sys.path[0]
        try:
            asked = import_the_sdk()
            import prefect
            import prefect.settings

            ahead = read_ahead()
            look_fit(inherited | {control.fileno()})
            ready = {
                "python": "%d.%d" % sys.version_info[:2],
                "sdk": prefect.__version__,
                "asked": asked,
                "modules": sorted({name.partition(".")[0] for name in sys.modules}),
                "watched": watched(),
            }
        except Unfit as unfit:
            control.sendall(frame({"unfit": str(unfit)}))
            os._exit(1)
        except BaseException as error:
            # Its text may hold what is nobody's business; a run says it in full.
            control.sendall(frame({"unfit": f"the SDK cannot be imported ({type(error).__name__})"}))
            os._exit(1)
        gc.collect()
        # Memory that the collector does not write to stays shared.
        gc.freeze()
        # Nobody waits for supervisors; they are told of by their folders.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for interruption in (signal.SIGINT, signal.SIGHUP):
            signal.signal(interruption, signal.SIG_IGN)
        control.sendall(frame({"ready": ready}))
        while True:
            order, descriptors = receive(control)
            if order is None:
                leave(worker)
            if os.fork() == 0:
                return supervise(control, order, descriptors, ahead)
            for descriptor in descriptors:
                os.close(descriptor)

    def leave(worker):
        """Ends, but not before its children while the worker is there: as process 1 it would inherit them, and not wait."""
        try:
            while os.getppid() == worker:
                os.waitpid(-1, os.WNOHANG)
                time.sleep(1)
        except ChildProcessError:
            # There is none left.
            pass
        os._exit(0)

    def supervise(control, order, descriptors, ahead):
        """Becomes the supervisor of a run, once the run is there. Returns in the run."""
        try:
            control.close()
            os.setsid()
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            mine, its = socket.socketpair()
            run = os.fork()
            if run == 0:
                mine.close()
                for descriptor in descriptors:
                    os.close(descriptor)
                return become_a_run(its, ahead)
            its.close()
            spec, answer, program = descriptors
            # The last of the three is where the run is reached; it is closed once the run is told what it is.
            for number, descriptor in ((0, spec), (1, answer), (2, mine.fileno())):
                os.dup2(descriptor, number, inheritable=True)
            os.execve(program, [*order["argv"], "adopt-run", str(run)], {})
        except BaseException:
            os._exit(1)

    def become_a_run(supervisor, ahead):
        """Waits until it is told what it is, and is set up as if it had been started so. The module that it executes."""
        try:
            os.setpgid(0, 0)
            told, descriptors = receive(supervisor)
            if told is None:
                os._exit(0)
            take_the_place(told, descriptors)
        except BaseException as error:
            # The supervisor then starts the command itself.
            supervisor.sendall(frame({"failed": type(error).__name__}))
            os._exit(1)
        supervisor.sendall(frame({"taken": None}))
        supervisor.close()
        try:
            set_up(told, ahead)
        except BaseException:
            # Whatever is wrong, a Python that starts now says it as it always does.
            start_cold(told)
        return told["words"][2]

    def take_the_place(told, descriptors):
        """Gets what a started process would have been given."""
        limits(told)
        os.chdir(told["working_dir"])
        for number, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, number, inheritable=True)
            os.close(descriptor)

    def start_cold(told):
        """Becomes the command as it is."""
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execve(told["words"][0], told["words"], told["environment"])

    def set_up(told, ahead):
        import importlib
        import logging
        import warnings

        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        streams()
        added = added_since_the_start()
        show_as_started(told)
        os.environ.clear()
        os.environ.update(added)
        os.environ.update(told["environment"])
        time.tzset()
        sys.path[:] = search_path(told)
        sys.orig_argv[:] = told["words"]
        sys.argv[:] = ["-m"]
        importlib.invalidate_caches()
        forget_the_past(logging, warnings)
        import prefect.context
        import prefect.logging

        differing = read_settings(ahead)
        look_at_settings()
        set_up_logging(ahead if differing <= SECRETS else None)
        prefect.logging.get_logger("profiles").debug(
            f"Using profile {prefect.context.get_settings_context().profile.name!r}"
        )

    def read_settings(ahead):
        """Reads the settings unless they are what was read ahead. The variables that say otherwise."""
        import prefect.context
        import prefect.settings

        was, now = {} if ahead is None else ahead["variables"], settings_variables()
        differing = {name for name in was.keys() | now.keys() if was.get(name) != now.get(name)}
        # Where there is no home any more, reading the settings makes it.
        if ahead is None or differing or not prefect.settings.get_current_settings().home.exists():
            prefect.context.refresh_global_settings_context()
        return differing

    def set_up_logging(ahead):
        """Sets up logging, as it was read ahead if it was. To read it takes longer than a flow."""
        import copy

        import prefect.logging.configuration as configuration

        read = configuration.load_logging_config
        if ahead is not None:
            configuration.load_logging_config = lambda path: copy.deepcopy(ahead["logging"])
        try:
            configuration.setup_logging()
        finally:
            configuration.load_logging_config = read

    def added_since_the_start():
        """The variables that Python itself and what is imported have set: `LC_CTYPE` where there is no locale."""
        with open("/proc/self/environ", "rb") as environ:
            given = {os.fsdecode(item.partition(b"=")[0]) for item in environ.read().split(b"\0") if item}
        return {name: value for name, value in os.environ.items() if name not in given}

    def limits(told):
        import resource

        if told["open_files"] is not None:
            _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (told["open_files"], hard))
        with open("/proc/self/oom_score_adj", "r+") as knob:
            if int(knob.read()) < 0:
                knob.seek(0)
                knob.write("0")

    def streams():
        """Streams on the run's own files, as Python makes them when it starts."""
        import io

        is_unbuffered = sys.stdout is not None and sys.stdout.write_through
        for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
            before = getattr(sys, name)
            if before is None:
                raise Unfit("a standard stream is missing")
            if mode == "r":
                binary = open(number, "rb", -1, closefd=False)
                raw = binary.raw
            else:
                binary = open(number, "wb", 0 if is_unbuffered else -1, closefd=False)
                raw = binary if is_unbuffered else binary.raw
            raw.name = f"<{name}>"
            text = io.TextIOWrapper(
                binary,
                encoding=before.encoding,
                errors=before.errors,
                newline=None if mode == "r" else "\n",
                line_buffering=mode == "w" and (name == "stderr" or os.isatty(number)),
                write_through=mode == "w" and is_unbuffered,
            )
            text.mode = mode
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)

    def search_path(told):
        """As it were had the run's variables been there from the start, and `-m` among the arguments."""
        first = list(dict.fromkeys(os.path.abspath(path) for path in told["python_path"]))
        before = {os.path.abspath(path) for path in told["python_path_before"]}
        rest = [path for path in sys.path if path not in first and path not in before]
        own = [] if getattr(sys.flags, "safe_path", False) else [os.getcwd()]
        return own + first + rest

    def show_as_started(told):
        """Puts the run's command line and marker where the system shows them of a process. Looks only."""
        try:
            with open("/proc/self/stat") as stat:
                numbers = stat.read().rpartition(")")[2].split()
            arguments, end_of_arguments, variables, end_of_variables = map(int, numbers[45:49])
            with open("/proc/self/mem", "r+b", buffering=0) as memory:
                memory.seek(arguments)
                shown = memory.read(end_of_arguments - arguments)
                own = b"\0".join(os.fsencode(word) for word in SHOWN_AS) + b"\0"
                new = b"\0".join(os.fsencode(word) for word in told["words"][1:]) + b"\0"
                if shown.endswith(own) and len(own) == len(new):
                    memory.seek(end_of_arguments - len(own))
                    memory.write(new)
                memory.seek(variables)
                shown = memory.read(end_of_variables - variables)
                marker = os.fsencode(MARKER) + b"="
                at = 0 if shown.startswith(marker) else shown.find(b"\0" + marker) + 1
                value = os.fsencode(told["environment"].get(MARKER, ""))
                if shown[at : at + len(marker)] == marker:
                    length = shown.find(b"\0", at) - at - len(marker)
                    if length == len(value):
                        memory.seek(variables + at + len(marker))
                        memory.write(value)
        except (OSError, ValueError):
            # Then the system shows it as the zygote, and it is known as what descends from its supervisor.
            pass

    def forget_the_past(logging, warnings):
        """What modules keep from their import that is of one process."""
        import tempfile

        # `random` is seeded anew by every fork. The main thread's number is still the zygote's.
        set_native_id = getattr(threading.main_thread(), "_set_native_id", None)
        if set_native_id is not None:
            set_native_id()
        tempfile.tempdir = None
        started = getattr(logging, "_startTime", None)
        if isinstance(started, float):
            logging._startTime = time.time()
        elif isinstance(started, int):
            logging._startTime = time.time_ns()
        if hasattr(warnings, "_filters_mutated"):
            warnings._filters_mutated()
        process = sys.modules.get("multiprocessing.process")
        if process is not None:
            process.current_process().authkey = os.urandom(32)

    return main_program()


def engine(module):
    """Does what `python -m` does, in a main module that is as new."""
    import runpy
    import sys

    main = sys.modules["__main__"].__dict__
    kept = {name: main[name] for name in ("__name__", "__builtins__")}
    if "__annotations__" in main:
        kept["__annotations__"] = {}
    main.clear()
    # It is looked for as if it had not been imported: a module that is to be the main one should not have been.
    imported = sys.modules.pop(module)
    try:
        _name, spec, code = runpy._get_module_details(module)
    finally:
        sys.modules[module] = imported
    sys.argv[0] = spec.origin
    main.update(
        kept,
        __doc__=None,
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    # As deep as it would be below the two functions of that module.
    exec(code, main)


engine(zygote())
