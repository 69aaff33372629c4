"""Deploys the example flows from a git repository, with nothing but the Prefect SDK.

    python deploy.py REPOSITORY POOL

REPOSITORY is the address of a git repository whose top folder holds the files of examples/flows; POOL is a work pool of
type `process`. The Prefect settings (PREFECT_API_URL or a profile) say which server.
"""

import sys

from prefect import flow
from prefect.runner.storage import GitRepository

FLOWS = ["hello", "etl", "fails"]


def main(repository: str, pool: str):
    for name in FLOWS:
        source = GitRepository(url=repository, branch="main")
        flow.from_source(source, entrypoint=f"{name}.py:{name}").deploy(
            name="quickstart", work_pool_name=pool, print_next_steps=False
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
