"""Starting the programs that are measured, waiting for what they do, and stopping them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time

GRACE_SECONDS = 20


class MeasureError(Exception):
    """Something that measuring needs did not work; the text is for whoever measures."""


class Daemon:
    """A program in a session of its own, from its exec on. Its output is added to a log file."""

    def __init__(self, command, environment, log):
        self.log = log
        with open(log, "ab") as output:
            # On the clock of the proxy and of the runs, which the first poll and the like are compared with.
            self.begun = time.time()
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        """Ends it, politely at first, and then all that is left of its process group."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    async def until(self, condition, seconds, what):
        """Waits for the condition, as long as the program lives."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise MeasureError(f"{self.log.stem} ended by itself:\n{self.end_of_log()}")
            if time.monotonic() > deadline:
                raise MeasureError(f"{self.log.stem}: no {what} within {seconds} s:\n{self.end_of_log()}")
            await asyncio.sleep(0.02)

    def end_of_log(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
