//! Random histories of clients in a bad network: what docs/protocol.md promises holds in all of
//! them.
//!
//! Each step is followed by a comparison of the hub with a model of it, and each history by a look
//! at what the clients were told from first to last, whatever hub and model agree on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod model;
mod support;

use model::{STRANGERS_FROM, Step, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngAlgorithm;
use signal_core::Config;

/// Small, so that every limit is met often.
fn config() -> Config {
    Config {
        room_members_max: 3,
        rooms_max: 2,
        members_max: 6,
        unacked_frames_max: 20,
        unacked_bytes_max: 1 << 20,
        ack_every: 8,
        news_per_s: 2,
        news_burst: 2,
        news_max: 5,
        ..Config::default()
    }
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..7_usize;
    let conn = 0..64_usize;
    let milliseconds = prop_oneof![
        12 => 0..700_u64,
        4 => 700..5000_u64,
        1 => 5000..32_000_u64,
    ];
    let closes = prop_oneof![Just(None), Just(Some(1001)), Just(Some(3000))];
    let signal = (who.clone(), 0..STRANGERS_FROM + 2, prop::bool::weighted(0.8))
        .prop_map(|(who, to, numbered)| Step::Signal { who, to, numbered });
    let cut = (conn.clone(), 0..4_usize, 0..4_usize).prop_map(|(conn, up, down)| Step::Cut {
        conn,
        up,
        down,
    });
    let pass = (milliseconds, prop::bool::weighted(0.1))
        .prop_map(|(milliseconds, late)| Step::Pass { milliseconds, late });
    prop_oneof![
        12 => (who.clone(), 0..60_u8).prop_map(|(who, forgets)| Step::Open { who, forgets }),
        4 => (who.clone(), any::<bool>()).prop_map(|(who, polls)| Step::Listen { who, polls }),
        60 => signal,
        4 => who.clone().prop_map(|who| Step::Ack { who }),
        6 => (who.clone(), 0..20_u8).prop_map(|(who, ending)| Step::Post { who, ending }),
        1 => who.clone().prop_map(|who| Step::Fall { who }),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, acks)| Step::Leave { who, acks }),
        1 => (who.clone(), closes).prop_map(|(who, code)| Step::Close { who, code }),
        2 => who.clone().prop_map(|who| Step::Despair { who }),
        10 => conn.clone().prop_map(|conn| Step::Up { conn }),
        10 => conn.clone().prop_map(|conn| Step::Request { conn }),
        8 => conn.clone().prop_map(|conn| Step::Event { conn }),
        8 => conn.clone().prop_map(|conn| Step::Down { conn }),
        24 => conn.clone().prop_map(|conn| Step::Flow { conn }),
        14 => Just(Step::FlowAll),
        4 => cut,
        3 => conn.clone().prop_map(|conn| Step::Break { conn }),
        1 => conn.clone().prop_map(|conn| Step::Stall { conn }),
        1 => conn.prop_map(|conn| Step::Full { conn }),
        2 => (who, 0..6_u8).prop_map(|(victim, how)| Step::Stranger { victim, how }),
        14 => pass,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        // The default one takes half of the time.
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_or_done_twice_whatever_the_weather(steps in vec(step(), 1..250)) {
        let mut world = World::new(config());
        world.start();
        for step in &steps {
            world.run(step);
        }
        world.clear();
        world.end();
    }
}
