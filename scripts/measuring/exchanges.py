"""A proxy that also keeps what was proposed for a run, and when the server's answer had come."""

import dataclasses
import json
import time

from measuring.proxy import Proxy

# What workers tell the API in the background: no launch waits for its answer.
BACKGROUND = ("/get_scheduled_flow_runs", "/heartbeat", "/logs/", "/events", "/filter")


@dataclasses.dataclass
class Exchange:
    at: float
    path: str
    body: bytes = b""
    answered: float = 0.0


class Client:
    """What a worker sends on one connection."""

    def __init__(self, reader, exchanges):
        self.reader = reader
        self.exchanges = exchanges
        self.last = None

    async def readuntil(self, separator):
        data = await self.reader.readuntil(separator)
        if separator == b"\r\n\r\n":
            self.last = Exchange(time.time(), data.split(b" ", 2)[1].decode("latin-1"))
            # A websocket has no answer.
            if b"\r\nupgrade:" not in data.lower():
                self.exchanges.append(self.last)
        return data

    async def readexactly(self, size):
        data = await self.reader.readexactly(size)
        self.last.body = data
        return data


class Answers:
    """What the worker is sent on the connection: an answer is complete with its last bytes before the next request."""

    def __init__(self, writer, client):
        self.writer = writer
        self.client = client

    def write(self, data):
        self.writer.write(data)
        if self.client.last:
            self.client.last.answered = time.time()

    async def drain(self):
        await self.writer.drain()

    def close(self):
        self.writer.close()


class ExchangeProxy(Proxy):
    def __init__(self, server_port):
        super().__init__(server_port)
        self.exchanges = []

    async def connection(self, client, answers):
        client = Client(client, self.exchanges)
        await super().connection(client, Answers(answers, client))

    def claim(self, run):
        """The exchange that made the run Pending; None before it was answered."""
        for exchange in self.exchanges:
            if exchange.answered and exchange.path.endswith(f"/{run}/set_state"):
                if json.loads(exchange.body)["state"]["type"] == "PENDING":
                    return exchange
        return None

    def waited(self, begin, end):
        """For how many seconds between the two at least one answer was waited for."""
        waits = [
            (max(begin, exchange.at), min(end, exchange.answered or end))
            for exchange in self.exchanges
            if not any(word in exchange.path for word in BACKGROUND)
        ]
        total, reached = 0.0, begin
        for start, finish in sorted(wait for wait in waits if wait[0] < wait[1]):
            total += max(0.0, finish - max(start, reached))
            reached = max(reached, finish)
        return total
