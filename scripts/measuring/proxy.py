"""The pass-through proxy between a worker and the server, which keeps when what was sent to the server."""

import asyncio
import contextlib
import dataclasses
import re
import time

LONGEST_HEAD = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Request:
    at: float
    method: str
    path: str

    def kind(self, pool):
        """The same text for requests that differ only in whom they are about."""
        path = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}", self.path.partition("?")[0])
        return f"{self.method} {path.replace(f'/work_pools/{pool}', '/work_pools/{pool}')}"


class Proxy:
    """Serves one start of a worker. Times are seconds of the epoch, as processes on this machine read them too."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.port = None
        self.connections, self.requests, self.frames = [], [], []

    @contextlib.asynccontextmanager
    async def listening(self):
        listener = await asyncio.start_server(self.connection, "127.0.0.1", 0, limit=LONGEST_HEAD)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            # Not waited for: connections end with their worker, which has been stopped.
            listener.close()

    def polls(self):
        return [request.at for request in self.requests if request.path.endswith("/get_scheduled_flow_runs")]

    def poll_that_brought(self, run):
        """When the last poll began before the worker first spoke of the run."""
        spoken_of = next(request.at for request in self.requests if run in request.path)
        return max(at for at in self.polls() if at < spoken_of)

    async def connection(self, client, answers):
        self.connections.append(time.time())
        server, forward = await asyncio.open_connection("127.0.0.1", self.server_port)
        ways = [
            asyncio.ensure_future(self.pass_requests(client, forward)),
            asyncio.ensure_future(pass_answers(server, answers)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            # Either side may drop the connection at any point: that ends both ways and is nobody's fault.
            await asyncio.gather(*ways, return_exceptions=True)
            forward.close()
            answers.close()

    async def pass_requests(self, client, forward):
        while True:
            head = await client.readuntil(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = line.split(" ")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.requests.append(Request(time.time(), method, path))
            forward.write(head)
            if "upgrade" in fields:
                await self.pass_frames(client, forward)
            elif "transfer-encoding" in fields:
                await pass_chunks(client, forward)
            else:
                forward.write(await client.readexactly(int(fields.get("content-length", 0))))
            await forward.drain()

    async def pass_frames(self, client, forward):
        while True:
            frame = await client.readexactly(2)
            size = frame[1] & 0x7F
            if size > 125:
                extended = await client.readexactly(2 if size == 126 else 8)
                frame, size = frame + extended, int.from_bytes(extended, "big")
            # A client's payload is masked, with four bytes that come before it.
            frame += await client.readexactly(4 + size)
            self.frames.append(time.time())
            forward.write(frame)
            await forward.drain()


async def pass_chunks(client, forward):
    size = None
    while size != 0:
        line = await client.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        forward.write(line + await client.readexactly(size + 2))


async def pass_answers(server, answers):
    while data := await server.read(65536):
        answers.write(data)
        await answers.drain()
