"""A road to a real server that a test can close and open again."""

import asyncio


class Road:
    """Carries connections to a port of this machine, and cuts or refuses them while it is closed."""

    def __init__(self, port):
        self.to = port
        self.server = None
        self.open_connections = []

    async def open(self, port=0):
        self.server = await asyncio.start_server(self.carry, "127.0.0.1", port)
        return self.server.sockets[0].getsockname()[1]

    async def close(self):
        self.server.close()
        for writer in self.open_connections:
            writer.close()
        self.open_connections.clear()

    async def carry(self, reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
        self.open_connections += [writer, inner_writer]

        async def pump(source, sink):
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except ConnectionError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
