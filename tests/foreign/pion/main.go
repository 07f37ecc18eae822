// pion against a TURN server: its TURN client that talks to an echo peer over a channel, or two peer
// connections whose data channel meets by their relayed candidates only. Prints `ok` at the end.
//
// usage: pion echo|webrtc udp|tcp|tls HOST PORT USERNAME PASSWORD
package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/turn/v2"
	"github.com/pion/webrtc"
)

const messages = 50

type server struct {
	transport, address, username, password string
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func assert(holds bool, what string, values ...interface{}) {
	if !holds {
		log.Panicf(what, values...)
	}
}

// counted counts the ChannelData messages of a connection to a TURN server.
type counted struct {
	net.PacketConn
	sent, received int32
}

func isChannelData(message []byte) bool {
	return len(message) >= 4 && message[0]>>4 == 4
}

func (c *counted) WriteTo(message []byte, to net.Addr) (int, error) {
	if isChannelData(message) {
		atomic.AddInt32(&c.sent, 1)
	}
	return c.PacketConn.WriteTo(message, to)
}

func (c *counted) ReadFrom(buffer []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(buffer)
	if isChannelData(buffer[:n]) {
		atomic.AddInt32(&c.received, 1)
	}
	return n, from, err
}

func (s server) dial() net.PacketConn {
	switch s.transport {
	case "udp":
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		check(err)
		return conn
	case "tcp":
		conn, err := net.Dial("tcp4", s.address)
		check(err)
		return turn.NewSTUNConn(conn)
	case "tls":
		conn, err := tls.Dial("tcp4", s.address, nil)
		check(err)
		return turn.NewSTUNConn(conn)
	default:
		log.Panicf("no transport %s", s.transport)
		return nil
	}
}

func startEchoPeer() net.Addr {
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(err)
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := peer.ReadFrom(buffer)
			check(err)
			_, err = peer.WriteTo(buffer[:n], from)
			check(err)
		}
	}()
	return peer.LocalAddr()
}

func echo(s server) {
	conn := &counted{PacketConn: s.dial()}
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: s.address,
		Username:       s.username,
		Password:       s.password,
		Conn:           conn,
	})
	check(err)
	check(client.Listen())
	relayed, err := client.Allocate()
	check(err)
	peer := startEchoPeer()
	check(client.CreatePermission(peer))
	buffer := make([]byte, 1500)
	for number := 0; number < messages; number++ {
		sent := fmt.Sprintf("message %d", number)
		_, err = relayed.WriteTo([]byte(sent), peer)
		check(err)
		check(relayed.SetReadDeadline(time.Now().Add(5 * time.Second)))
		n, from, err := relayed.ReadFrom(buffer)
		check(err)
		assert(string(buffer[:n]) == sent, "%q came back", buffer[:n])
		assert(from.String() == peer.String(), "it came from %s", from)
	}
	// pion binds the channel in the background; what is sent meanwhile goes as an indication.
	assert(conn.sent >= messages/2, "only %d of %d went by channel", conn.sent, messages)
	assert(conn.received >= messages/2, "only %d of %d came by channel", conn.received, messages)
	check(relayed.Close())
	client.Close()
}

func (s server) newPeer() *webrtc.PeerConnection {
	settings := webrtc.SettingEngine{}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetRelayAcceptanceMinWait(0)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	url := map[string]string{
		"udp": "turn:%s?transport=udp",
		"tcp": "turn:%s?transport=tcp",
		"tls": "turns:%s?transport=tcp",
	}[s.transport]
	peer, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{
		ICETransportPolicy: webrtc.ICETransportPolicyRelay,
		ICEServers: []webrtc.ICEServer{{
			URLs: []string{fmt.Sprintf(url, s.address)}, Username: s.username, Credential: s.password,
		}},
	})
	check(err)
	return peer
}

// describe sets a description and gives it with all candidates.
func describe(peer *webrtc.PeerConnection, description webrtc.SessionDescription, err error) webrtc.SessionDescription {
	check(err)
	gathered := webrtc.GatheringCompletePromise(peer)
	check(peer.SetLocalDescription(description))
	<-gathered
	return *peer.LocalDescription()
}

func assertIsRelayed(peer *webrtc.PeerConnection) {
	pair, err := peer.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	check(err)
	assert(pair != nil, "no pair of candidates")
	assert(pair.Local.Typ == webrtc.ICECandidateTypeRelay, "local candidate: %s", pair.Local)
	assert(pair.Remote.Typ == webrtc.ICECandidateTypeRelay, "remote candidate: %s", pair.Remote)
}

// inbox gives what a data channel receives.
func inbox(channel *webrtc.DataChannel) chan string {
	received := make(chan string, messages)
	channel.OnMessage(func(message webrtc.DataChannelMessage) { received <- string(message.Data) })
	return received
}

func within[T any](limit time.Duration, values chan T, what string) (value T) {
	select {
	case value = <-values:
	case <-time.After(limit):
		log.Panicf("in vain: %s", what)
	}
	return value
}

func peers(s server) {
	caller, callee := s.newPeer(), s.newPeer()
	ours, err := caller.CreateDataChannel("messages", nil)
	check(err)
	back := inbox(ours)
	opened := make(chan *webrtc.DataChannel, 2)
	ours.OnOpen(func() { opened <- ours })
	accepted, there := make(chan *webrtc.DataChannel, 1), make(chan chan string, 1)
	callee.OnDataChannel(func(theirs *webrtc.DataChannel) {
		there <- inbox(theirs)
		theirs.OnOpen(func() { accepted <- theirs })
	})
	offer, err := caller.CreateOffer(nil)
	check(callee.SetRemoteDescription(describe(caller, offer, err)))
	answer, err := callee.CreateAnswer(nil)
	check(caller.SetRemoteDescription(describe(callee, answer, err)))
	within(20*time.Second, opened, "our channel opens")
	theirs := within(20*time.Second, accepted, "their channel opens")
	received := within(time.Second, there, "their channel is taken")
	for number := 0; number < messages; number++ {
		check(ours.SendText(fmt.Sprintf("there %d", number)))
		check(theirs.SendText(fmt.Sprintf("back %d", number)))
	}
	for number := 0; number < messages; number++ {
		got := within(5*time.Second, received, "a message there")
		assert(got == fmt.Sprintf("there %d", number), "%q arrived", got)
		got = within(5*time.Second, back, "a message back")
		assert(got == fmt.Sprintf("back %d", number), "%q came back", got)
	}
	assertIsRelayed(caller)
	assertIsRelayed(callee)
	check(caller.Close())
	check(callee.Close())
}

func main() {
	what, host, port := os.Args[1], os.Args[3], os.Args[4]
	s := server{os.Args[2], net.JoinHostPort(host, port), os.Args[5], os.Args[6]}
	switch what {
	case "echo":
		echo(s)
	case "webrtc":
		peers(s)
	default:
		log.Panicf("unknown: %s", what)
	}
	fmt.Println("ok")
}
