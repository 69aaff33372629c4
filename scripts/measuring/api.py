"""The measuring program's own calls of the Prefect API, which go through no proxy."""

import asyncio
import json
import urllib.error
import urllib.request
from http import HTTPStatus

from measuring.daemons import MeasureError


class Api:
    def __init__(self, url):
        self.url = url
        # The server is on this machine: a proxy named in the environment has no part in it.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def call(self, path, body=None):
        """One call; a busy SQLite database answers 503, which is tried again."""
        for pause in (0.2, 0.5, 1, 2, 4, None):
            try:
                return await asyncio.to_thread(self.call_once, path, body)
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE or pause is None:
                    raise MeasureError(f"the server refused {path}: {error}") from error
            await asyncio.sleep(pause)

    def call_once(self, path, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with self.opener.open(request, timeout=60) as response:
            return json.load(response)

    def answers(self):
        """True when the server has started."""
        try:
            return self.call_once("/health", None) is True
        except OSError:
            return False
