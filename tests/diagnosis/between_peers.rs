//! What goes wrong between two peers, whatever a relay does.

use crate::middleman::Middleman;
use crate::seat::Member;
use crate::support::Heliograph;
use crate::{
    DeadEnd, after_trouble, connected, diagnosis, enter, freely, joined, pair, start, troubled,
    until,
};
use heliograph_client::{Diagnosis, Event, Options, Peer, Room};
use relay_core::wire::{Class, Message as Stun, Method, Writer, attribute};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

fn signal_only(more: &[&str]) -> Heliograph {
    Heliograph::start(&[&["signal", "--http", "127.0.0.1:0"], more].concat())
}

async fn ada_and_bob(server: &Heliograph) -> [(Room, Peer); 2] {
    pair(server.announced("WebSocket"), server, freely()).await
}

/// Ada, and a Bob who speaks the protocol by hand.
async fn ada_and_a_strange_bob(server: &Heliograph) -> (Room, Peer, Member) {
    let mut ada = enter(server.announced("WebSocket"), "ada", &Options::default()).await;
    let bob = Member::join_as(server, "demo", &json!({ "name": "bob" })).await;
    let to_bob = joined(&mut ada).await;
    (ada, to_bob, bob)
}

pub(crate) async fn meet() -> Diagnosis {
    let server = start(&[]);
    let [(mut ada, to_bob), _bob] = ada_and_bob(&server).await;
    connected(&mut ada).await;
    diagnosis(&to_bob).await
}

pub(crate) async fn ask_at_once() -> Diagnosis {
    let server = start(&[]);
    let (_ada, to_bob, _bob) = ada_and_a_strange_bob(&server).await;
    diagnosis(&to_bob).await
}

pub(crate) async fn leave() -> Diagnosis {
    let server = start(&[]);
    let [(mut ada, to_bob), (bob, _)] = ada_and_bob(&server).await;
    connected(&mut ada).await;
    bob.close().await;
    until(&mut ada, |event| matches!(event, Event::PeerLeft { .. }).then_some(())).await;
    diagnosis(&to_bob).await
}

pub(crate) async fn lose_the_server() -> Diagnosis {
    let server = start(&[]);
    let (mut ada, to_bob, bob) = ada_and_a_strange_bob(&server).await;
    drop(bob);
    until(&mut ada, |event| matches!(event, Event::PeerAway(_)).then_some(())).await;
    diagnosis(&to_bob).await
}

pub(crate) async fn say_nothing() -> Diagnosis {
    let server = start(&[]);
    let (mut ada, to_bob, mut bob) = ada_and_a_strange_bob(&server).await;
    // Who doesn't read is soon taken to be away.
    tokio::select! {
        () = troubled(&mut ada) => {}
        frame = bob.next("nothing") => panic!("{frame}"),
    }
    diagnosis(&to_bob).await
}

/// By hand; tests/browser has a page that really has none.
pub(crate) async fn forbid_webrtc() -> Diagnosis {
    let server = start(&[]);
    let mut ada = Member::join(&server, "demo").await;
    let bob = Member::join(&server, "demo").await;
    let link = json!({
        "state": "failed", "for_s": 20.5, "offered": true, "answered": true, "gathered": true,
        "local": {"host": 0, "srflx": 0, "prflx": 0, "relay": 0},
    });
    ada.report(&bob.peer, &link).await;
    ada.diagnose(&bob.peer).await
}

/// Neither hears of a candidate of the other, or the checks of one would tell the other.
pub(crate) async fn lose_candidates() -> Diagnosis {
    let server = start(&[]);
    let forget = |frame: &mut Value| {
        if frame.pointer("/data/candidate").is_some() {
            frame["data"] = json!({});
        }
    };
    let middleman = Middleman::before(&server, forget).await;
    let pair = pair(&middleman.url, &server, freely()).await;
    after_trouble(pair).await
}

pub(crate) async fn forge_a_fingerprint() -> Diagnosis {
    let server = start(&[]);
    let forge = |frame: &mut Value| {
        let is_from_bob = frame.get("from").is_some();
        let sdp = frame.pointer_mut("/data/description/sdp");
        if let Some(Value::String(sdp)) = sdp.filter(|_| is_from_bob) {
            let of_nobody = format!("a=fingerprint:sha-256 {}\r\n", ["00"; 32].join(":"));
            let lines = sdp.split_inclusive('\n');
            let forged = lines.map(|line| match line.starts_with("a=fingerprint:") {
                true => &of_nobody,
                false => line,
            });
            *sdp = forged.collect();
        }
    };
    let middleman = Middleman::before(&server, forge).await;
    after_trouble(pair(&middleman.url, &server, freely()).await).await
}

/// A Bob by hand has closed the link to Ada, who is told why when she asks, and so is he.
async fn closed() -> [Diagnosis; 2] {
    let server = start(&[]);
    let (ada, to_bob, mut bob) = ada_and_a_strange_bob(&server).await;
    bob.report(ada.peer_id().as_str(), &json!({"state": "closed"})).await;
    [diagnosis(&to_bob).await, bob.diagnose(ada.peer_id().as_str()).await]
}

pub(crate) async fn be_closed() -> Diagnosis {
    let [told, _] = closed().await;
    told
}

pub(crate) async fn close() -> Diagnosis {
    let [_, told] = closed().await;
    told
}

pub(crate) async fn find_no_way() -> Diagnosis {
    let (server, dead_end) = (signal_only(&[]), DeadEnd::new());
    let middleman = Middleman::before(&server, dead_end.misdirect()).await;
    after_trouble(pair(&middleman.url, &server, freely()).await).await
}

/// Each of two STUN servers sees another outside address of the same socket.
pub(crate) async fn be_symmetric() -> Diagnosis {
    let mut stun_servers = JoinSet::new();
    let urls = [
        outside_of_a_nat(&mut stun_servers, 1).await,
        outside_of_a_nat(&mut stun_servers, 2).await,
    ];
    let server = signal_only(&["--ice-server", &urls[0], "--ice-server", &urls[1]]);
    let dead_end = DeadEnd::new();
    let middleman = Middleman::before(&server, dead_end.misdirect()).await;
    after_trouble(pair(&middleman.url, &server, freely()).await).await
}

/// Starts a STUN server to which the ports of clients are moved by this.
async fn outside_of_a_nat(servers: &mut JoinSet<()>, by: u16) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("stun:{}", socket.local_addr().expect("bound"));
    servers.spawn(async move {
        let mut bytes = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut bytes).await {
            let Ok(request) = Stun::parse(&bytes[..length]) else { continue };
            let outside = SocketAddr::new(Ipv4Addr::new(203, 0, 113, 7).into(), client.port() ^ by);
            let mut answer = [0; 64];
            let id = request.transaction();
            let mut writer = Writer::new(&mut answer, Class::Success, Method::Binding, id);
            writer.xor_address(attribute::XOR_MAPPED_ADDRESS, outside);
            let _ = socket.send_to(writer.finish(), client).await;
        }
    });
    url
}

pub(crate) async fn end_the_server() -> Diagnosis {
    let server = start(&[]);
    let [(mut ada, to_bob), _bob] = ada_and_bob(&server).await;
    connected(&mut ada).await;
    drop(server);
    until(&mut ada, |event| matches!(event, Event::SignalingLost(_)).then_some(())).await;
    diagnosis(&to_bob).await
}

pub(crate) async fn come_from_the_future() -> Diagnosis {
    let server = start(&[]);
    let invent = |frame: &mut Value| {
        if frame["type"] == "diagnosis" {
            frame["verdict"] = json!("sunspots");
        }
    };
    let middleman = Middleman::before(&server, invent).await;
    let [(_ada, to_bob), _bob] = pair(&middleman.url, &server, freely()).await;
    diagnosis(&to_bob).await
}
