"""Calls of a Prefect API that may not answer for a while.

A Prefect server whose database is an SQLite file blocks its writers for up to a minute at a time, answers 503 or 500
meanwhile, and resets connections. None of that is an answer to what was asked, so it is asked again until the time of the
step is over.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from http import HTTPStatus

PAUSES = (0.2, 0.5, 1, 2, 4)
TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class ApiError(Exception):
    """A call that came to nothing; the text says which, and why."""


class PatientApi:
    def __init__(self, url, before_retry=lambda: None, answer_seconds=60):
        """`before_retry` is called before a call is made again, and may raise where that would be in vain."""
        self.url = url
        self.before_retry = before_retry
        self.answer_seconds = answer_seconds
        # The server is on this machine: a proxy named in the environment has no part in it.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def create_run(self, deployment, seconds):
        """A run of a deployment (FLOW/NAME), due now; its id. There is one, also when the answer got lost."""
        found = self.call(f"/deployments/name/{deployment}", seconds=seconds)
        wanted = {"idempotency_key": str(uuid.uuid4())}
        return self.call(f"/deployments/{found['id']}/create_flow_run", wanted, seconds=seconds)["id"]

    def call(self, path, body=None, *, seconds):
        """One call, which must do no harm when it is made twice; its answer, within so many seconds."""
        deadline = time.monotonic() + seconds
        tries = 0
        while True:
            tries += 1
            try:
                return self.call_once(path, body, max(deadline - time.monotonic(), 1))
            except urllib.error.HTTPError as error:
                said = beginning_of(error)
                if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in TRY_AGAIN:
                    raise ApiError(f"the server refused {path}: {error}: {said}") from None
                trouble = f"{error}: {said}"
            except (OSError, http.client.HTTPException, ValueError) as error:
                trouble = f"{type(error).__name__}: {error}"
            pause = PAUSES[min(tries, len(PAUSES)) - 1]
            if time.monotonic() + pause >= deadline:
                raise ApiError(f"no answer to {path} within {seconds:.0f} s and {tries} tries; the last: {trouble}")
            self.before_retry()
            time.sleep(pause)

    def call_once(self, path, body, seconds):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with self.opener.open(request, timeout=min(seconds, self.answer_seconds)) as response:
            return json.load(response)


def beginning_of(answer):
    """What an answer says, as far as it came."""
    try:
        return answer.read().decode(errors="replace")[:300]
    except (OSError, http.client.HTTPException) as error:
        return f"(cut off: {error})"
