//! What is left when a room is closed. The only test of its process, since it counts what the
//! process has open and takes.

mod support;

use heliograph_client::{ChannelOptions, Event, Path, Peer, Room};
use std::time::Duration;
use support::{Behaviour, PATIENCE, Server, join_as, next, pair};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// What 200 peers may leave behind: less than a fifth of what one of them keeps each.
const MEMORY_KIB_MAX: u64 = 12 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_room_leaves_no_socket_and_no_task_behind() {
    let server = Server::start(Behaviour::default()).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..3 {
        let ((ada, _), (bob, _)) = pair(&server).await;
        assert!(udp_sockets() >= 2);
        tokio::join!(ada.close(), bob.close());
        assert_eq!(udp_sockets(), 0);
    }
    // While there is no connection to the server, too.
    let ((ada, _), (bob, _)) = pair(&server).await;
    server.refuse_all().await;
    server.cut().await;
    tokio::join!(ada.close(), bob.close());
    assert_eq!(udp_sockets(), 0);
    // The first ones fill what the process keeps for all.
    drop(server);
    come_and_go(20).await;
    let memory = resident_kib();
    come_and_go(200).await;
    assert_eq!(udp_sockets(), 0);
    let grown = resident_kib().saturating_sub(memory);
    assert!(grown < MEMORY_KIB_MAX, "200 peers left {grown} KiB behind");
    // The server's own tasks for them end when it has seen them leave.
    timeout(PATIENCE, async {
        while tasks() > before {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("all tasks ended");
}

/// Members come and go while one stays.
async fn come_and_go(rounds: usize) {
    let server = Server::start(Behaviour::default()).await;
    let mut host = join_as(&server, "host").await;
    for round in 0..rounds {
        let guest = join_as(&server, "guest").await;
        let (peer, _) = connected_after_leaving(&mut host).await;
        let state = peer.channel("state", ChannelOptions::LOSSY);
        state.opened().await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        guest.close().await;
    }
    host.close().await;
}

/// Waits until the next one is connected; the one before may still be leaving.
async fn connected_after_leaving(room: &mut Room) -> (Peer, Path) {
    loop {
        if let Event::Connected { peer, path } = next(room).await {
            return (peer, path);
        }
    }
}

/// The memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    number.expect("a number")
}

/// The UDP sockets of this process.
fn udp_sockets() -> usize {
    let table: String = ["/proc/self/net/udp", "/proc/self/net/udp6"]
        .iter()
        .map(|table| std::fs::read_to_string(table).unwrap_or_default())
        .collect();
    std::fs::read_dir("/proc/self/fd")
        .expect("Linux")
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .filter(|inode| table.contains(&format!(" {inode} ")))
        .count()
}
