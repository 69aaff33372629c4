"""Runs the hooks of a flow run whose own process has ended without running them.

Called with the kind of the hooks, `on_crashed` or `on_cancellation`, in the environment and directory of the run. Ends
with 0 if all hooks have run, with 1 if one of them failed, with 2 if they could not be found.
"""

import asyncio
import inspect
import os
import sys
from uuid import UUID


def hooks_and_arguments(kind):
    from prefect.flow_engine import load_flow, load_flow_run
    from prefect.states import Cancelling, Crashed

    flow_run = load_flow_run(UUID(os.environ["PREFECT__FLOW_RUN_ID"]))
    flow = load_flow(flow_run)
    state = flow_run.state
    if kind == "on_crashed":
        if state is None or not state.is_crashed():
            state = Crashed(message="Flow run infrastructure ended before the flow run did.")
        hooks = flow.on_crashed_hooks
    else:
        if state is None or not state.is_cancelling():
            state = Cancelling(message="Flow run was cancelled.")
        hooks = flow.on_cancellation_hooks
    return hooks or [], (flow, flow_run, state)


async def call(hook, arguments):
    # A function that is not async may use blocking calls and event loops of its own: it gets a thread without one.
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):
        await hook(*arguments)
        return
    result = await asyncio.to_thread(hook, *arguments)
    if inspect.isawaitable(result):
        await result


async def run(hooks, arguments):
    from prefect.logging.loggers import flow_run_logger

    flow, flow_run, state = arguments
    logger = flow_run_logger(flow_run, flow)
    failed = False
    for hook in hooks:
        name = getattr(hook, "__name__", None) or type(hook).__name__
        logger.info("Running hook %r in response to entering state %r", name, state.name)
        try:
            await call(hook, arguments)
        except Exception:
            failed = True
            logger.error("An error was encountered while running hook %r", name, exc_info=True)
        else:
            logger.info("Hook %r finished running successfully", name)
    return failed


def main():
    try:
        hooks, arguments = hooks_and_arguments(sys.argv[1])
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.exit(2)
    sys.exit(1 if hooks and asyncio.run(run(hooks, arguments)) else 0)


main()
