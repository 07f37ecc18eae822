//! Two relay ports side by side, on real sockets. RFC 8656 §7.2. Alone in its program, since it
//! counts the open files of the process.

mod client;

use client::{Client, Incoming, config, counter, peer, receive_from, start, wait_until};
use relay_server::RelayConfig;
use std::net::SocketAddr;

const CHANNEL: u16 = 0x4000;

/// The kernel chooses the worker of a client: of sixteen pairs of sockets and four workers, all
/// pairs have the same worker for both once in 4^16 runs.
#[test]
fn the_second_port_of_a_pair_is_had_at_whichever_worker() {
    let relay = start(RelayConfig { workers: 4, ..config() });
    let bob = peer("127.0.0.1:0");
    let before = open_files();
    let mut clients = Vec::new();
    for number in 0..16_u8 {
        let (mut rtp, mut rtcp) = (Client::new(&relay), Client::new(&relay));
        let (even, token) = rtp.allocate_pair().expect("a pair");
        assert_eq!(even.port() % 2, 0);
        let odd = rtcp.allocate_reserved(token).expect("the token is good");
        assert_eq!(odd, SocketAddr::new(even.ip(), even.port() + 1));
        assert_eq!(Client::new(&relay).allocate_reserved(token), Err(508));
        for (client, relayed) in [(&mut rtp, even), (&mut rtcp, odd)] {
            client.bind(CHANNEL, bob.local_addr().expect("an address")).expect("a channel");
            client.send(CHANNEL, &[number]);
            assert_eq!(receive_from(&bob), (vec![number], relayed));
            bob.send_to(&[number], relayed).expect("sent");
            assert_eq!(client.receive(), Incoming::Channel(CHANNEL, vec![number]));
        }
        clients.push((rtp, rtcp));
    }
    let live = || counter(&relay, "relay_allocations", None);
    wait_until("all are counted", || live() == 32);
    for (mut rtp, mut rtcp) in clients {
        rtp.refresh(0).expect("Refresh succeeds");
        rtcp.refresh(0).expect("Refresh succeeds");
    }
    wait_until("no allocation lives", || live() == 0);
    // Stocks may hold what is left of a pair beside others: a few for each worker.
    wait_until("the sockets are closed", || open_files() <= before + 16);
    wait_until("the open ports are counted as they are", || {
        let open = counter(&relay, "relay_open_ports", None);
        (128..128 + 16).contains(&open)
    });
    relay.shutdown().expect("all workers end");
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}
