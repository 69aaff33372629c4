"""The measuring program's own calls of the Docker Engine API, over its unix socket."""

import contextlib
import datetime
import http.client
import json
import os
import socket
import threading
import time
import urllib.parse

from measuring.daemons import MeasureError

API = "/v1.41"
POOL_LABEL = "io.prefect.work-pool-name"
RUN_LABEL = "io.prefect.flow-run-id"


class Connection(http.client.HTTPConnection):
    def __init__(self, path, seconds):
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    def __init__(self):
        kind, _, self.path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
        if kind != "unix":
            raise MeasureError("the Docker Engine must be on this machine, at a unix socket")

    def call(self, method, path, body=None, **query):
        with contextlib.closing(Connection(self.path, 120)) as connection:
            data = None if body is None else json.dumps(body)
            connection.request(method, target(path, query), data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 400:
            raise MeasureError(f"the Docker Engine refused {method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def launch(self, image, command, pool):
        """What nobody can launch a container without: its creation and its start. When it began and when it had started."""
        body = {"Image": image, "Cmd": command, "HostConfig": {"NetworkMode": "none"}, "Labels": {POOL_LABEL: pool}}
        begin = time.time()
        container = self.call("POST", "/containers/create", body)["Id"]
        self.call("POST", f"/containers/{container}/start")
        return begin, self.started_at(container)

    def started_at(self, container):
        return seconds_of(self.call("GET", f"/containers/{container}/json")["State"]["StartedAt"])

    def containers(self, pool):
        filters = json.dumps({"label": [f"{POOL_LABEL}={pool}"]})
        return [container["Id"] for container in self.call("GET", "/containers/json", all="true", filters=filters)]

    def remove(self, pool):
        """Removes all containers of a pool; one that its worker removes at the same moment is nobody's fault."""
        for container in self.containers(pool):
            with contextlib.suppress(MeasureError):
                self.call("DELETE", f"/containers/{container}", force="true", v="true")
        for _ in range(100):
            if not self.containers(pool):
                return
            time.sleep(0.1)
        raise MeasureError(f"containers of {pool} are left")


class Events:
    """Which containers have started and ended: told by the engine, because asking for it would keep it busy."""

    def __init__(self, engine, pool):
        self.started, self.ended = {}, set()
        self.connection = Connection(engine.path, None)
        filters = {"type": ["container"], "event": ["start", "die"], "label": [f"{POOL_LABEL}={pool}"]}
        self.connection.request("GET", target("/events", {"filters": json.dumps(filters)}))
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        self.thread = threading.Thread(target=self.read, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.connection.close()

    def read(self):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := self.answer.readline():
                event = json.loads(line)
                run = event["Actor"]["Attributes"].get(RUN_LABEL)
                if event["Action"] == "start":
                    self.started[run] = event["Actor"]["ID"]
                else:
                    self.ended.add(run)


def target(path, query):
    return f"{API}{path}?{urllib.parse.urlencode(query)}"


def seconds_of(text):
    """A time with nanoseconds, in UTC, as seconds of the epoch."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")
