"""Deploys flows of flows.py with nothing but the Prefect SDK, and prints their deployments' ids as JSON.

    python deploy.py SOURCE POOL JOB_VARIABLES FLOW...

SOURCE is a folder, or the address of a git repository, that holds flows.py. A FLOW of another file is named FILE:FLOW. JOB_VARIABLES is a JSON object. The Prefect
settings say which server.
"""

import json
import sys

from prefect import flow
from prefect.runner.storage import GitRepository


def main(source: str, pool: str, job_variables: str, *flows: str):
    storage = GitRepository(url=source, branch="main") if "://" in source else source
    deployments = {}
    for name in flows:
        loaded = flow.from_source(storage, entrypoint=name if ":" in name else f"flows.py:{name}")
        deployments[name] = loaded.deploy(
            name="git" if storage is not source else "folder",
            work_pool_name=pool,
            job_variables=json.loads(job_variables),
            print_next_steps=False,
        )
    print(json.dumps(deployments, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
