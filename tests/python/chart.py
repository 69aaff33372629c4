"""Helm and the schemas of Kubernetes for tests: reads one request as JSON, writes the answer as JSON.

An answer that Helm refuses is {"refused": TEXT}: what a person who installs the chart would read.
"""

import json
import re
import sys

import kubernetes_validate
import yaml
from helm_python import chart as charts
from helm_python import config as clusters
from helm_python.errors import HelmError

NOTES = "templates/NOTES.txt"


def lint(request):
    return charts.lint(request["chart"], request["values"], strict=True)


def render(request):
    """The objects of a release, in the order of their files, and what is said to the person who installs it."""
    with charts.Chart.load(request["chart"]) as chart:
        chart.validate_schema(request["values"])
        files = chart.render(request["values"], name=request["release"], namespace=request["namespace"])
    notes = next(text for name, text in files.items() if name.endswith(NOTES))
    texts = [files[name].strip() for name in sorted(files) if not name.endswith(NOTES)]
    manifest = "\n---\n".join(text.removeprefix("---\n") for text in texts if text)
    return {"manifest": manifest, "objects": objects(manifest), "notes": notes}


def objects(manifest):
    return [document for document in yaml.safe_load_all(manifest) if document is not None]


def validate(request):
    """What a version of Kubernetes would say of objects; kinds of others' definitions are none of its own."""
    complaints = []
    for thing in request["objects"]:
        try:
            kubernetes_validate.validate(thing, request["version"], strict=True)
        except kubernetes_validate.ValidationError as error:
            complaints.append(f"{thing['kind']} {thing['metadata']['name']}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError:
            complaints.append(f"{thing['kind']} {thing['metadata']['name']}: unknown to Kubernetes")
    return complaints


def install(request):
    with clusters.Config(kubeconfig_path=request["kubeconfig"], namespace=request["namespace"]) as cluster:
        with charts.Chart.load(request["chart"]) as chart:
            options = {"namespace": request["namespace"], "wait": request["wait"], "timeout": request["timeout"]}
            change = cluster.upgrade if request["again"] else cluster.install
            return change(chart, request["release"], request["values"], **options)


def uninstall(request):
    with clusters.Config(kubeconfig_path=request["kubeconfig"], namespace=request["namespace"]) as cluster:
        return cluster.uninstall(request["release"])


def on_cluster(request):
    """The objects as they are for the version of a cluster, which is not changed."""
    with clusters.Config(kubeconfig_path=request["kubeconfig"], namespace=request["namespace"]) as cluster:
        with charts.Chart.load(request["chart"]) as chart:
            options = {"namespace": request["namespace"], "dry_run": "server"}
            release = cluster.install(chart, request["release"], request["values"], **options)
    return {"objects": objects(release["manifest"])}


def described(request):
    """Each key of values.yaml with its default and the comment above it; a key with keys below it needs no comment."""
    text, path, comment, keys = open(request["values_file"]).read(), [], "", []
    defaults = yaml.safe_load(text)
    for line in text.splitlines():
        if match := re.match(r" *# -- (.*)", line):
            comment = match[1]
        elif match := re.match(r"( *)(\w+):", line):
            path[len(match[1]) // 2 :] = [match[2]]
            value = defaults
            for key in path:
                value = value[key]
            if comment or not (isinstance(value, dict) and value):
                keys.append({"key": ".".join(path), "default": json.dumps(value), "text": comment})
            comment = ""
    return keys


def read_yaml(request):
    return objects(request["text"])


def batch(request):
    """The answers to many requests: starting this program takes longer than most of them."""
    return [answer(request["command"], one) for one in request["requests"]]


COMMANDS = [lint, render, validate, install, uninstall, on_cluster, described, read_yaml, batch]


def answer(name, request):
    command = {command.__name__: command for command in COMMANDS}[name]
    try:
        return command(request)
    except HelmError as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    json.dump(answer(sys.argv[1], json.load(sys.stdin)), sys.stdout)
