//! How long one packet of each kind takes in the core, without system calls.
//!
//! `cargo bench -p relay-core --bench packets`. The packets of a bench come from all of its
//! clients in turn, so that what an allocation takes in the caches counts: 100 clients fit there,
//! 10,000 don't.

mod world;

use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use std::cell::RefCell;
use std::time::Duration;
use world::{Kind, Users, World};

/// A voice packet, and the most that WebRTC sends.
const PAYLOAD_BYTES: [usize; 2] = [160, 1200];
const CLIENTS: [usize; 2] = [100, 10_000];
/// The relay's addresses: as if one were of IPv4, one of IPv6.
const HOSTS: u8 = 2;
/// How many Allocates come before the shell fills its stock.
const BATCH: u64 = 8;

fn relayed(criterion: &mut Criterion) {
    for kind in [
        Kind::ClientToPeer,
        Kind::ClientToPeerInRuns,
        Kind::PeerToClient,
        Kind::SendIndication,
        Kind::DataIndication,
        Kind::RelayToRelay,
    ] {
        let mut group = criterion.benchmark_group(kind.name());
        group.throughput(Throughput::Elements(1));
        for clients in CLIENTS {
            for bytes in PAYLOAD_BYTES {
                passed(&mut group, kind, Users::Static, clients, bytes);
            }
            passed(&mut group, kind, Users::Holders, clients, PAYLOAD_BYTES[0]);
        }
        group.finish();
    }
}

fn requests(criterion: &mut Criterion) {
    for kind in
        [Kind::Binding, Kind::Challenge, Kind::Refresh, Kind::CreatePermission, Kind::ChannelBind]
    {
        let mut group = criterion.benchmark_group(kind.name());
        group.throughput(Throughput::Elements(1));
        for clients in CLIENTS {
            passed(&mut group, kind, Users::Static, clients, 0);
        }
        passed(&mut group, kind, Users::Holders, CLIENTS[0], 0);
        group.finish();
    }
}

/// The second Allocate of a client, which has its nonce. The ends in between aren't measured.
fn allocate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(Kind::Allocate.name());
    group.throughput(Throughput::Elements(1));
    for users in Users::ALL {
        let mut world = World::new(HOSTS, users, CLIENTS[0]);
        world.allocate_all();
        let world = RefCell::new(world);
        let mut places = (0..CLIENTS[0]).cycle();
        group.bench_function(users.name(), |bencher| {
            bencher.iter_batched(
                || {
                    let mut world = world.borrow_mut();
                    world.end_and_ask_again(places.next().expect("they go round"))
                },
                |packet| world.borrow_mut().pass(&packet),
                BatchSize::NumIterations(BATCH),
            );
        });
    }
    group.finish();
}

fn passed(
    group: &mut BenchmarkGroup<'_, WallTime>,
    kind: Kind,
    users: Users,
    clients: usize,
    bytes: usize,
) {
    let mut world = World::new(HOSTS, users, clients);
    world.allocate_all();
    let packets = world.packets(kind, bytes);
    let mut turns = packets.iter().cycle();
    let id = BenchmarkId::new(format!("{}/{bytes} B", users.name()), clients);
    group.bench_function(id, |bencher| {
        bencher.iter(|| world.pass(turns.next().expect("they go round")));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(50);
    targets = relayed, requests, allocate
}
criterion_main!(benches);
