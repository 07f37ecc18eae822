//! What allocations take, they give back. Alone in its program, since it counts the open files of
//! the process.

mod client;

use client::{Client, config, counter, start, wait_until};

#[test]
fn allocations_that_end_leave_no_sockets_behind() {
    let relay = start(config());
    // The first ones may grow what stays.
    allocate_and_end(&relay, 50);
    let before = open_files();
    allocate_and_end(&relay, 500);
    let live = || counter(&relay, "relay_allocations", None);
    wait_until("no allocation lives", || live() == 0);
    // Not more: when `before` was counted, the last port may have been about to be closed.
    wait_until("no more files are open than before", || open_files() <= before);
    relay.shutdown().unwrap();
}

fn allocate_and_end(relay: &relay_server::Relay, count: usize) {
    for _ in 0..count {
        let mut client = Client::new(relay);
        client.allocate();
        client.refresh(0).expect("Refresh succeeds");
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}
