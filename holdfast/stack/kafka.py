"""One Kafka broker that is its own controller."""

import asyncio
import logging
import subprocess
from base64 import urlsafe_b64encode
from uuid import uuid4

from holdfast.stack import java
from holdfast.stack.java_server import JavaServer
from holdfast.stack.server import NoAnswer, StackError


class Kafka(JavaServer):
    name = "kafka"
    files = ("server.properties", "jvm.options")

    @property
    def ports(self) -> dict[str, int]:
        return {"kafka_port": self.settings.kafka_port, "kafka_controller_port": self.settings.kafka_controller_port}

    @property
    def variables(self) -> dict[str, str]:
        return {"HOLDFAST_EVENT_LOG_URL": f"kafka://{self.address}"}

    @property
    def values(self) -> dict[str, str]:
        return {
            "port": str(self.settings.kafka_port),
            "controller_port": str(self.settings.kafka_controller_port),
            "folder": str(self.folder),
            "lib": str(self.lib),
        }

    def prepare(self) -> None:
        super().prepare()
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self.folder / "server.properties")]

    def ask(self) -> str:
        try:
            return asyncio.run(_describe(self.address))
        except Exception as error:  # the client raises many kinds
            raise NoAnswer(str(error)) from error

    def _java(self) -> list[str]:
        return [str(java.binary()), f"@{self.folder / 'jvm.options'}"]

    def _format(self) -> None:
        """A new broker's folder must know the id of its cluster before the first start."""
        cluster_id = f"A{urlsafe_b64encode(uuid4().bytes).decode()[1:22]}"  # an id may not begin with a dash
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*self._java(), "kafka.tools.StorageTool", "format", "-t", cluster_id,
             "-c", str(self.folder / "server.properties"), "--ignore-formatted"],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise StackError(f"Kafka's folder could not be prepared:\n{done.stdout.decode(errors='replace')}")


async def _describe(address: str) -> str:
    from aiokafka.admin import AIOKafkaAdminClient

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is still starting is no news
    client = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=3000)
    try:
        async with asyncio.timeout(5):
            await client.start()
            cluster = await client.describe_cluster()
            topics = await client.list_topics()
    finally:
        await client.close()
    if not cluster["brokers"]:
        raise NoAnswer("the controller knows no broker yet")
    return f"{len(cluster['brokers'])} broker, {len(topics)} topics"
