"""One Cassandra node that answers a write only once it is on disk."""

import logging

from holdfast.stack import java
from holdfast.stack.java_server import JavaServer
from holdfast.stack.server import NoAnswer


class Cassandra(JavaServer):
    name = "cassandra"
    files = ("cassandra.yaml", "jvm.options", "logback.xml")

    @property
    def ports(self) -> dict[str, int]:
        """Cassandra does not open the port for TLS between nodes here, but refuses to share its number."""
        return {
            "cassandra_port": self.settings.cassandra_port,
            "cassandra_storage_port": self.settings.cassandra_storage_port,
            "cassandra_ssl_storage_port": self.settings.cassandra_ssl_storage_port,
        }

    @property
    def variables(self) -> dict[str, str]:
        return {"HOLDFAST_ARCHIVE_URL": f"cassandra://{self.address}/holdfast"}

    @property
    def values(self) -> dict[str, str]:
        return {
            "port": str(self.settings.cassandra_port),
            "storage_port": str(self.settings.cassandra_storage_port),
            "ssl_storage_port": str(self.settings.cassandra_ssl_storage_port),
            "folder": str(self.folder),
            "lib": str(self.lib),
        }

    def command(self) -> list[str]:
        options = self.folder / "jvm.options"
        return [str(java.binary()), f"@{options}", "org.apache.cassandra.service.CassandraDaemon"]

    def ask(self) -> str:
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import RoundRobinPolicy

        logging.getLogger("cassandra").setLevel(logging.CRITICAL)  # a node that is still starting is no news
        cluster = Cluster(
            ["127.0.0.1"],
            port=self.settings.cassandra_port,
            protocol_version=5,
            connect_timeout=3,
            control_connection_timeout=3,
            execution_profiles={
                EXEC_PROFILE_DEFAULT: ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=3)
            },
        )
        try:
            row = cluster.connect().execute("SELECT release_version FROM system.local").one()
        except Exception as error:  # the driver raises many kinds
            raise NoAnswer(str(error)) from error
        finally:
            cluster.shutdown()
        return f"release {row.release_version}"
