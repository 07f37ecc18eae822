//! What is left when a room is closed. The only test of its process, since it counts what the
//! process has open.

mod support;

use std::time::Duration;
use support::{Behaviour, PATIENCE, Server, pair};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

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
    // The server's own tasks for them end when it has seen them leave.
    timeout(PATIENCE, async {
        while tasks() > before {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("all tasks ended");
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
