"""Write the table of Prefect settings that `src/prefect/settings.tsv` holds.

Run with a Python that has the SDK installed, from this crate's folder:

    python scripts/prefect_settings.py > src/prefect/settings.tsv
"""

import datetime
import inspect
import pathlib
import typing

import prefect
from pydantic import AliasChoices, SecretStr
from prefect.settings.base import PrefectBaseSettings
from prefect.settings.models.root import Settings

# Settings whose annotation does not say what their text looks like.
BY_NAME = {
    "PREFECT_HOME": "home",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "codes",
    "PREFECT_CLIENT_CUSTOM_HEADERS": "headers",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "set",
    "PREFECT_PLUGINS_ALLOW": "set",
    "PREFECT_PLUGINS_DENY": "set",
}
PLAIN = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    pathlib.Path: "path",
    SecretStr: "secret",
    datetime.timedelta: "duration",
}
LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


def kind(name, annotation):
    if name in BY_NAME:
        return BY_NAME[name]
    if annotation in PLAIN:
        return PLAIN[annotation]
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return "level" if set(arguments) == LEVELS else "text"
    if typing.get_origin(annotation) is dict:
        return "json"
    if type(None) in typing.get_args(annotation) and len(arguments) == 1:
        return kind(name, arguments[0])
    return "raw"


def settings(model, path=()):
    for name, field in model.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(
            field.annotation, PrefectBaseSettings
        ):
            yield from settings(field.annotation, (*path, name))
            continue
        variable = f"{model.model_config['env_prefix']}{name.upper()}"
        names = [variable]
        if isinstance(field.validation_alias, AliasChoices):
            names = [c.upper() for c in field.validation_alias.choices if isinstance(c, str)]
        aliases = ",".join(n for n in names if n != variable)
        yield variable, ".".join((*path, name)), kind(variable, field.annotation), aliases


print(f"# Settings of the Prefect SDK {prefect.__version__}, written by scripts/prefect_settings.py.")
print("# variable\tkey\tkind\tolder names of the variable")
for row in settings(Settings):
    print("\t".join(row).rstrip())
