"""Two ICE agents of libnice in one program, which meet through a TURN server only.
Prints `ok` at the end.

They are reliable agents: their bytes go as libnice's pseudo-TCP, over the candidate pair that ICE chose.
Needs the Python of Debian, for its python3-gi.

usage: libnice_agents.py udp|tcp HOST PORT USERNAME PASSWORD
"""

import queue
import sys
import threading

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice  # noqa: E402

MESSAGES = 50
MESSAGE = "message %04d"
MESSAGE_BYTES = 12
COMPONENT = 1
RELAY_TYPE = {"udp": Nice.RelayType.UDP, "tcp": Nice.RelayType.TCP}


class Agent:
    def __init__(self, is_controlling, transport, host, port, username, password):
        self.agent = Nice.Agent.new_reliable(
            GLib.MainContext.default(), Nice.Compatibility.RFC5245
        )
        self.agent.props.controlling_mode = is_controlling
        self.agent.props.force_relay = True
        self.agent.props.ice_tcp = False
        self.agent.props.upnp = False
        self.gathered, self.writable = threading.Event(), threading.Event()
        self.selected = None
        self.agent.connect("candidate-gathering-done", lambda *_: self.gathered.set())
        self.agent.connect("new-selected-pair-full", self.on_selected)
        self.agent.connect(
            "reliable-transport-writable", lambda *_: self.writable.set()
        )
        # libnice passes over loopback unless told of it.
        local = Nice.Address()
        assert local.set_from_string(host) and self.agent.add_local_address(local)
        self.stream = self.agent.add_stream(1)
        self.agent.set_stream_name(self.stream, "application")
        relay = host, int(port), username, password, RELAY_TYPE[transport]
        assert self.agent.set_relay_info(self.stream, COMPONENT, *relay)
        self.io = self.agent.get_io_stream(self.stream, COMPONENT)
        self.inbox = queue.Queue()
        # libnice looks at its sockets, for ICE too, only while somebody reads.
        threading.Thread(target=self.read, daemon=True).start()

    def on_selected(self, agent, stream, component, local, remote):
        self.selected = local.type, remote.type

    def gather(self):
        assert self.agent.gather_candidates(self.stream)
        assert self.gathered.wait(20), "gathering took too long"
        candidates = self.agent.get_local_candidates(self.stream, COMPONENT)
        types = [candidate.type for candidate in candidates]
        assert types == [Nice.CandidateType.RELAYED], types

    def read(self):
        while True:
            data = self.io.get_input_stream().read_bytes(MESSAGE_BYTES)
            self.inbox.put(data.get_data())

    def write(self, data):
        assert self.io.get_output_stream().write(data) == len(data)


def exchange(one, other):
    for number in range(MESSAGES):
        data = (MESSAGE % number).encode()
        one.write(data)
        assert other.inbox.get(timeout=5) == data
        other.write(data)
        assert one.inbox.get(timeout=5) == data


def main():
    loop = GLib.MainLoop()
    threading.Thread(target=loop.run, daemon=True).start()
    agents = [Agent(is_controlling, *sys.argv[1:]) for is_controlling in (True, False)]
    for agent in agents:
        agent.gather()
    for agent, other in (agents, agents[::-1]):
        assert agent.agent.parse_remote_sdp(other.agent.generate_local_sdp()) > 0
    for agent in agents:
        assert agent.writable.wait(20), "the agents did not meet"
    exchange(*agents)
    for agent in agents:
        assert agent.selected == (Nice.CandidateType.RELAYED,) * 2, agent.selected
    print("ok")


main()
