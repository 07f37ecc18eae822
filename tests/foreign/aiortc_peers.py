"""Two peer connections of aiortc in one program, whose data channel meets through a TURN server only.
Prints `ok` at the end.

usage: aiortc_peers.py URL USERNAME PASSWORD
"""

import asyncio
import sys

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
)

MESSAGES = 50


def peer(url, username, password):
    server = RTCIceServer(url, username, password)
    return RTCPeerConnection(
        RTCConfiguration(
            iceServers=[server], iceTransportPolicy=RTCIceTransportPolicy.RELAY
        )
    )


async def connect(caller, callee):
    """Exchanges the descriptions, which carry the candidates."""
    await caller.setLocalDescription(await caller.createOffer())
    assert "typ relay" in caller.localDescription.sdp, "the server gave no relayed address"
    await callee.setRemoteDescription(caller.localDescription)
    await callee.setLocalDescription(await callee.createAnswer())
    await caller.setRemoteDescription(callee.localDescription)


def assert_is_relayed(connection):
    """Asserts that there is no candidate but relayed ones, and that the peers use one of them."""
    ice = connection.sctp.transport.transport
    local = ice.iceGatherer.getLocalCandidates()
    remote = ice.getRemoteCandidates()
    assert local and all(candidate.type == "relay" for candidate in local), local
    assert remote and all(candidate.type == "relay" for candidate in remote), remote
    (pair,) = ice._connection._nominated.values()
    assert pair.local_candidate.type == "relay", pair
    assert pair.remote_candidate.type == "relay", pair


async def main():
    url, username, password = sys.argv[1:]
    caller, callee = peer(url, username, password), peer(url, username, password)
    ours = caller.createDataChannel("messages")
    opened, theirs = asyncio.Event(), asyncio.Future()
    ours.on("open", opened.set)
    callee.on("datachannel", theirs.set_result)
    await connect(caller, callee)
    await asyncio.wait_for(opened.wait(), 20)
    theirs = await asyncio.wait_for(theirs, 20)
    inboxes = asyncio.Queue(), asyncio.Queue()
    ours.on("message", inboxes[0].put_nowait)
    theirs.on("message", inboxes[1].put_nowait)
    for number in range(MESSAGES):
        ours.send(f"there {number}")
        theirs.send(b"back %d" % number)
    for number in range(MESSAGES):
        assert await asyncio.wait_for(inboxes[0].get(), 5) == b"back %d" % number
        assert await asyncio.wait_for(inboxes[1].get(), 5) == f"there {number}"
    assert_is_relayed(caller)
    assert_is_relayed(callee)
    await caller.close()
    await callee.close()
    print("ok")


asyncio.run(main())
