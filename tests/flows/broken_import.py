"""A module that cannot be imported."""

import a_module_that_does_not_exist  # noqa: F401
from prefect import flow


@flow
def unreachable():
    pass
