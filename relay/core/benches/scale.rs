//! A relay with 100,000 allocations on four addresses: what each takes of the heap, that all of it
//! comes back, and how long a packet takes.
//!
//! `cargo bench -p relay-core --bench scale`; with `-- --test` it is all but the times.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod world;

use cap::Cap;
use criterion::{Criterion, Throughput};
use std::alloc::System;
use std::time::Duration;
use world::{Kind, Users, World};

/// Counts the bytes that are asked for, which is a bit less than what the allocator takes.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const CLIENTS: usize = 100_000;
const HOSTS: u8 = 4;
const PAYLOAD_BYTES: usize = 160;
/// What an allocation with one permission and one channel may take.
const BYTES_MAX: usize = 1024;
/// What may stay when all are gone.
const REST_BYTES_MAX: usize = 1 << 20;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for users in Users::ALL {
        let mut world = World::new(HOSTS, users, CLIENTS);
        let empty = HEAP.allocated();
        world.allocate_all();
        let each = (HEAP.allocated() - empty) / CLIENTS;
        println!("{}: {each} bytes of heap for an allocation", users.name());
        assert!(each < BYTES_MAX, "more than {BYTES_MAX}");
        time(&mut criterion, users, &mut world);
        world.end_all();
        // Users are remembered until their rates are as if they had never been there.
        world.allocate_after(Duration::from_secs(60));
        let rest = HEAP.allocated().saturating_sub(empty);
        println!("{}: {rest} bytes of heap when all are gone", users.name());
        assert!(rest < REST_BYTES_MAX, "more than {REST_BYTES_MAX}");
    }
    criterion.final_summary();
}

fn time(criterion: &mut Criterion, users: Users, world: &mut World) {
    let mut group = criterion.benchmark_group(format!("scale/{}", users.name()));
    group.throughput(Throughput::Elements(1));
    for kind in [Kind::ClientToPeer, Kind::PeerToClient] {
        let packets = world.packets(kind, PAYLOAD_BYTES);
        let mut turns = packets.iter().cycle();
        group.bench_function(kind.name(), |bencher| {
            bencher.iter(|| world.pass(turns.next().expect("they go round")));
        });
    }
    group.finish();
}
