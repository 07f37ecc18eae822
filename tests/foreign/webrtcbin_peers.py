"""Two webrtcbin elements of GStreamer in one program, whose data channel meets through a TURN server
only. Prints `ok` at the end.

Needs the Python of Debian, for its python3-gi.

usage: webrtcbin_peers.py udp|tcp HOST PORT USERNAME PASSWORD
"""

import queue
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("Nice", "0.1")
from gi.repository import Gst, GstWebRTC, Nice  # noqa: E402

MESSAGES = 50


class Peer:
    def __init__(self, name, transport, host, port, username, password):
        self.bin = Gst.ElementFactory.make("webrtcbin", name)
        self.bin.props.ice_transport_policy = GstWebRTC.WebRTCICETransportPolicy.RELAY
        self.bin.props.turn_server = (
            f"turn://{username}:{password}@{host}:{port}?transport={transport}"
        )
        # Kept, or Python takes it away from the element.
        self.ice = self.bin.props.ice_agent
        agent = self.ice.props.agent
        agent.props.upnp = False
        # libnice passes over loopback unless told of it.
        local = Nice.Address()
        assert local.set_from_string(host) and agent.add_local_address(local)
        agent.connect("new-selected-pair-full", self.on_selected)
        self.selected = None
        self.channel, self.inbox = None, queue.Queue()
        self.opened = threading.Event()
        self.candidates = []

    def on_selected(self, agent, stream, component, local, remote):
        self.selected = local.type, remote.type

    def send_candidates_to(self, other):
        def on_candidate(_, line, candidate):
            self.candidates.append(candidate)
            other.bin.emit("add-ice-candidate", line, candidate)

        self.bin.connect("on-ice-candidate", on_candidate)

    def take(self, channel):
        """Uses a data channel."""
        self.channel = channel
        channel.connect("on-message-string", lambda _, data: self.inbox.put(data))
        channel.connect("on-open", lambda _: self.opened.set())
        if channel.props.ready_state == GstWebRTC.WebRTCDataChannelState.OPEN:
            self.opened.set()

    def ask(self, signal, *arguments):
        """Has the element do something, and waits for it."""
        promise = Gst.Promise.new()
        self.bin.emit(signal, *arguments, promise)
        assert promise.wait() == Gst.PromiseResult.REPLIED, signal
        return promise


def connect(caller, callee):
    # A description lives only as long as the promise and the reply that it came with.
    promise = caller.ask("create-offer", None)
    reply = promise.get_reply()
    offer = reply.get_value("offer")
    caller.ask("set-local-description", offer)
    callee.ask("set-remote-description", offer)
    promise = callee.ask("create-answer", None)
    reply = promise.get_reply()
    answer = reply.get_value("answer")
    callee.ask("set-local-description", answer)
    caller.ask("set-remote-description", answer)


def exchange(one, other):
    for number in range(MESSAGES):
        one.channel.emit("send-string", f"there {number}")
        other.channel.emit("send-string", f"back {number}")
    for number in range(MESSAGES):
        assert other.inbox.get(timeout=5) == f"there {number}"
        assert one.inbox.get(timeout=5) == f"back {number}"


def main():
    Gst.init(None)
    pipeline = Gst.Pipeline.new()
    caller, callee = (Peer(name, *sys.argv[1:]) for name in ("caller", "callee"))
    caller.send_candidates_to(callee)
    callee.send_candidates_to(caller)
    callee.bin.connect("on-data-channel", lambda _, channel: callee.take(channel))
    pipeline.add(caller.bin)
    pipeline.add(callee.bin)
    pipeline.set_state(Gst.State.PLAYING)
    caller.take(caller.bin.emit("create-data-channel", "messages", None))
    connect(caller, callee)
    for peer in (caller, callee):
        assert peer.opened.wait(20), f"no channel; candidates: {peer.candidates}"
    exchange(caller, callee)
    for peer in (caller, callee):
        assert peer.candidates and all("typ relay" in each for each in peer.candidates)
        assert peer.selected == (Nice.CandidateType.RELAYED,) * 2, peer.selected
    pipeline.set_state(Gst.State.NULL)
    print("ok")


main()
