//! What passes between the lanes and a service, where time matters.

#[path = "../../tests/support/receiver.rs"]
#[expect(dead_code, reason = "the tests of the whole server use the rest")]
mod receiver;

use super::{HookConfig, Webhooks};
use crate::HttpClient;
use heliograph_base::{Clock, UnixTime};
use receiver::{Does, Receiver};
use signal_core::{Happening, RoomId};
use std::time::Duration;

const AT: UnixTime = UnixTime::from_seconds(1_700_000_000);

fn setup(receiver: &Receiver, change: impl FnOnce(&mut HookConfig)) -> Webhooks {
    let url = receiver.url.parse().unwrap();
    let mut config = HookConfig::new(url, HttpClient::new(None).unwrap());
    change(&mut config);
    Webhooks::start(config, Clock::start(), [1, 2, 3, 4])
}

fn opened(name: &str) -> Happening {
    Happening::RoomOpened(RoomId::parse(name).unwrap())
}

fn value(webhooks: &Webhooks, name: &str) -> u64 {
    let samples = webhooks.samples();
    samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
}

/// Waits until nothing waits any more.
async fn settled(webhooks: &Webhooks) {
    while value(webhooks, "signal_webhook_waiting") > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_their_limit_and_then_it_is_given_up() {
    let receiver = Receiver::start(|_| Does::Answers(500)).await;
    let webhooks = setup(&receiver, |config| {
        (config.attempts_max, config.pause_max) = (6, Duration::from_secs(5));
    });
    webhooks.push(AT, opened("demo"));
    settled(&webhooks).await;
    let came = receiver.came();
    let pauses: Vec<_> = came.windows(2).map(|two| (two[1].at - two[0].at).as_secs_f64()).collect();
    assert_eq!(pauses.len(), 5, "{pauses:?}");
    for (pause, whole) in pauses.iter().zip([1.0, 2.0, 4.0, 5.0, 5.0]) {
        assert!(*pause >= whole / 2.0 && *pause <= whole + 0.1, "{pauses:?}");
    }
    assert!(came.iter().all(|one| one.body == came[0].body), "it is the same each time");
    assert_eq!(value(&webhooks, "signal_webhook_dropped"), 1);
    assert_eq!(value(&webhooks, "signal_webhook_retries"), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_or_too_old_is_told_as_a_hole_before_what_follows() {
    let receiver =
        Receiver::start(|number| Does::Answers(if number < 2 { 503 } else { 204 })).await;
    let webhooks = setup(&receiver, |config| {
        (config.attempts_max, config.batch_max) = (2, 1);
        (config.pause, config.age_max) = (Duration::from_secs(10), Duration::from_secs(5));
    });
    for _ in 0..3 {
        webhooks.push(AT, opened("demo"));
    }
    settled(&webhooks).await;
    assert_eq!(receiver.came().len(), 2, "the first is given up, the others had to wait too long");
    webhooks.push(AT, opened("demo"));
    settled(&webhooks).await;
    let told = receiver.came()[2].events();
    assert_eq!(
        (told.len(), &told[0]["event"], &told[0]["dropped"]),
        (2, &"dropped".into(), &3.into())
    );
    assert_eq!((&told[1]["event"], &told[1]["room"]), (&"room_opened".into(), &"demo".into()));
    assert_eq!(value(&webhooks, "signal_webhook_delivered"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hole_that_could_not_be_told_is_told_later() {
    let receiver =
        Receiver::start(|number| Does::Answers(if number < 2 { 500 } else { 200 })).await;
    let webhooks = setup(&receiver, |config| config.attempts_max = 1);
    for _ in 0..3 {
        webhooks.push(AT, opened("demo"));
        settled(&webhooks).await;
    }
    let holes: Vec<_> =
        receiver.came().iter().map(|one| one.events()[0]["dropped"].clone()).collect();
    assert_eq!(holes, [serde_json::Value::Null, 1.into(), 2.into()]);
}

#[tokio::test(start_paused = true)]
async fn the_end_cuts_a_pause_short_and_waits_only_so_long() {
    let receiver = Receiver::start(|number| match number {
        0 => Does::Answers(500),
        1 => Does::Answers(200),
        _ => Does::Waits,
    })
    .await;
    let webhooks = setup(&receiver, |config| config.pause = Duration::from_secs(60));
    webhooks.push(AT, opened("demo"));
    while receiver.came().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let start = tokio::time::Instant::now();
    webhooks.finish().await;
    assert_eq!(receiver.came().len(), 2);
    assert!(start.elapsed() < Duration::from_secs(5), "on virtual clocks: {:?}", start.elapsed());
    webhooks.push(AT, opened("demo"));
    assert_eq!(value(&webhooks, "signal_webhook_dropped"), 1, "it takes no more");

    let webhooks = setup(&receiver, |_| {});
    webhooks.push(AT, opened("demo"));
    let start = tokio::time::Instant::now();
    webhooks.finish().await;
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(value(&webhooks, "signal_webhook_waiting"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_not_taken_holds_up_its_lane_only() {
    let receiver = Receiver::start(|_| Does::Answers(500)).await;
    let webhooks = setup(&receiver, |config| config.lanes = 4);
    for room in 0..64 {
        webhooks.push(AT, opened(&format!("room-{room}")));
    }
    while receiver.came().len() < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let came = receiver.came();
    let soon = came.iter().filter(|one| one.at - came[0].at < Duration::from_millis(400));
    let rooms: usize = soon.map(|one| one.events().len()).sum();
    assert_eq!(rooms, 64, "all lanes begin, and none begins a second delivery");
}

#[test]
fn pauses_are_finite_after_any_number_of_attempts() {
    let config =
        HookConfig::new("http://127.0.0.1/".parse().unwrap(), HttpClient::new(None).unwrap());
    for attempts in [0, 1, 7, 31, 32, 33, u32::MAX] {
        for dice in [0, u64::MAX] {
            let pause = config.pause_after(attempts, dice);
            assert!(pause >= config.pause / 2 && pause <= config.pause_max, "{attempts}");
        }
    }
}
