"""Flows that end in each of the ways in which a flow can end."""

import os
import signal
import sys
import time
from pathlib import Path

from prefect import flow, suspend_flow_run, task


@flow
def succeeds(greeting: str = "hello"):
    return greeting


@task
def double(number: int) -> int:
    return number * 2


@flow(log_prints=True)
def with_tasks():
    doubled = double.map([1, 2, 3]).result()
    print(f"sum of the doubled: {sum(doubled)}")


@flow
def fails():
    raise ValueError("this flow fails on purpose")


@flow
def exits_hard():
    os._exit(3)


@flow
def calls_sys_exit():
    sys.exit(3)


def note(what: str):
    def hook(flow, flow_run, state):
        with Path(os.environ["NOTES"], f"{what}-{flow_run.id}").open("a") as notes:
            notes.write(f"{state.name}\n")

    return hook


@flow(on_cancellation=[note("cancelled")], on_crashed=[note("crashed")])
def sleeps():
    Path(os.environ["NOTES"], "sleeping").touch()
    time.sleep(600)


@flow(on_cancellation=[note("cancelled")], on_crashed=[note("crashed")])
def hangs():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(os.environ["NOTES"], "sleeping").touch()
    time.sleep(600)


@flow
def suspends():
    suspend_flow_run(timeout=600)
