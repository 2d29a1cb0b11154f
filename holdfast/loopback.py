"""Keeps the calls between Serve's replicas on loopback.

Every replica opens a gRPC port for calls between deployments, on all interfaces and without a token, and takes pickles on
it. Our replicas never call each other, and Serve has no setting for that address, so it is changed where it is opened.
"""

from typing import Any

import ray
from ray.serve._private import replica


def keep_replicas_on_loopback() -> None:
    """In a replica's process, before its ports are opened. Does nothing on a cluster of several machines."""
    if ray.util.get_node_ip_address() != "127.0.0.1":
        return
    add_port = replica.add_port_to_grpc_server

    def add_loopback_port(server: Any, address: str) -> Any:
        return add_port(server, address.replace("[::]", "127.0.0.1"))

    replica.add_port_to_grpc_server = add_loopback_port
