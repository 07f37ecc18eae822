"""aioice against a TURN server: an allocation that talks to an echo peer, or two ICE agents that meet
by their relayed candidates only. Prints `ok` at the end.

TLS is for `echo` only: an agent takes no certificate of a test.

usage: aioice_peers.py echo|ice udp|tcp|tls HOST PORT USERNAME PASSWORD
"""

import asyncio
import ssl
import sys

import aioice
from aioice import turn

MESSAGES = 50


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Received(asyncio.DatagramProtocol):
    def __init__(self):
        self.queue = asyncio.Queue()

    def datagram_received(self, data, address):
        self.queue.put_nowait(data)


def tls_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def echo(transport, server, username, password):
    loop = asyncio.get_running_loop()
    peer, _ = await loop.create_datagram_endpoint(Echo, local_addr=(server[0], 0))
    relayed, received = await turn.create_turn_endpoint(
        Received,
        server_addr=server,
        username=username,
        password=password,
        ssl=tls_context() if transport == "tls" else False,
        transport="udp" if transport == "udp" else "tcp",
    )
    assert relayed.get_extra_info("sockname")[0] == server[0]
    for number in range(MESSAGES):
        data = b"message %d" % number
        relayed.sendto(data, peer.get_extra_info("sockname")[:2])
        assert await asyncio.wait_for(received.queue.get(), 5) == data
    relayed.close()
    peer.close()


async def ice(transport, server, username, password):
    agents = [
        aioice.Connection(
            ice_controlling=is_controlling,
            turn_server=server,
            turn_username=username,
            turn_password=password,
            turn_transport="udp" if transport == "udp" else "tcp",
            transport_policy=aioice.TransportPolicy.RELAY,
        )
        for is_controlling in (True, False)
    ]
    for agent in agents:
        await agent.gather_candidates()
    for agent, other in (agents, agents[::-1]):
        for candidate in other.local_candidates:
            assert candidate.type == "relay"
            await agent.add_remote_candidate(candidate)
        await agent.add_remote_candidate(None)
        agent.remote_username = other.local_username
        agent.remote_password = other.local_password
    await asyncio.wait_for(asyncio.gather(*(agent.connect() for agent in agents)), 20)
    for number in range(MESSAGES):
        data = b"message %d" % number
        await agents[number % 2].send(data)
        assert await asyncio.wait_for(agents[1 - number % 2].recv(), 5) == data
    for agent in agents:
        await agent.close()


def main():
    what, transport, host, port, username, password = sys.argv[1:]
    run = {"echo": echo, "ice": ice}[what]
    asyncio.run(run(transport, (host, int(port)), username, password))
    print("ok")


main()
