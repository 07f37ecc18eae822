//! What allocations take, they give back. Alone in its program, since it counts the open files and
//! the memory of the process.

mod client;

use client::{Client, config, counter, start, wait_until};

#[test]
fn ten_thousand_allocations_that_end_leave_no_sockets_and_no_memory_behind() {
    let relay = start(config());
    // The first ones may grow what stays.
    allocate_and_end(&relay, 1_000);
    let (files, memory) = (open_files(), resident_bytes());
    allocate_and_end(&relay, 10_000);
    let live = || counter(&relay, "relay_allocations", None);
    wait_until("no allocation lives", || live() == 0);
    // Not more: when they were counted, the last port may have been about to be closed.
    wait_until("no more files are open than before", || open_files() <= files);
    // Less than a tenth of what they would take if they stayed.
    let more = resident_bytes().saturating_sub(memory);
    assert!(more < 1 << 20, "{more} bytes more");
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

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let resident = pages.split_whitespace().nth(1).expect("a second number");
    resident.parse::<usize>().expect("a number") * 4096
}
