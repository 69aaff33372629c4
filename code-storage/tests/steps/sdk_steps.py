"""Runs pull steps with the Prefect SDK, the way the flow's process does.

Reads a list of cases from standard input: `directory`, `steps`, `blocks` ({"slug/name": data}) and `variables`. Writes
a list of answers: `{"directory": where the flow would run}` or `{"error": text}`.
"""

import asyncio
import json
import os
import sys
from types import SimpleNamespace

from prefect.deployments.steps import core
from prefect.exceptions import ObjectNotFound


class Server:
    """What a step asks the API for."""

    def __init__(self, case):
        self.case = case

    async def read_block_document_by_name(self, name, block_type_slug):
        try:
            return SimpleNamespace(data=self.case["blocks"][f"{block_type_slug}/{name}"])
        except KeyError as missing:
            raise ObjectNotFound(http_exc=missing) from missing

    async def read_variable_by_name(self, name):
        if name in self.case["variables"]:
            return SimpleNamespace(value=self.case["variables"][name])
        return None


def run(case):
    server = Server(case)
    blocks, variables = core.resolve_block_document_references, core.resolve_variables
    core.resolve_block_document_references = lambda value: blocks(value, client=server)
    core.resolve_variables = lambda value: variables(value, client=server)
    os.chdir(case["directory"])
    try:
        output = asyncio.run(core.run_steps(case["steps"], print_function=lambda *_, **__: None))
        if output.get("directory"):
            os.chdir(output["directory"])
        return {"directory": os.getcwd()}
    except Exception as error:
        return {"error": repr(error.__cause__ or error)}
    finally:
        core.resolve_block_document_references, core.resolve_variables = blocks, variables


answers = sys.stdout
# What the steps print is not an answer.
sys.stdout = sys.stderr
json.dump([run(case) for case in json.load(sys.stdin)], answers)
# Python itself flushes only what is `sys.stdout` at the end.
answers.flush()
