//! What goes wrong at a relay.

use crate::api;
use crate::middleman::Middleman;
use crate::seat::Member;
use crate::support::{Heliograph, free_udp_port};
use crate::{
    DEAD_END, DeadEnd, connected, diagnosis, enter, freely, joined, pair, relay_only, start,
    troubled, until,
};
use heliograph_base::{Clock, Credentials, Secret, UnixTime, Username};
use heliograph_client::{Diagnosis, Event, Options, Room, Side, Trouble, Verdict};
use relay_core::wire::Method;
use serde_json::{Value, json};

const SECRET: &str = "a secret that both halves know";

pub(crate) async fn meet() -> Diagnosis {
    let server = start(&[]);
    let options = [relay_only(), relay_only()];
    let [(mut ada, to_bob), _bob] = pair(server.announced("WebSocket"), &server, options).await;
    connected(&mut ada).await;
    diagnosis(&to_bob).await
}

pub(crate) async fn want_what_isnt_offered() -> Diagnosis {
    let server = Heliograph::start(&["signal", "--http", "127.0.0.1:0"]);
    let options = [relay_only(), Options::default()];
    let [(mut ada, to_bob), _bob] = pair(server.announced("WebSocket"), &server, options).await;
    troubled(&mut ada).await;
    diagnosis(&to_bob).await
}

/// Ada uses credentials of her seat that expired 14 minutes ago; Bob is told so too.
pub(crate) async fn keep_credentials() -> Diagnosis {
    let server = start(&["--turn-secret", SECRET]);
    let expired = UnixTime::from_seconds(Clock::start().now().unix.seconds - 14 * 60);
    let told = with_credentials(&server, move |turn| {
        let username = turn["username"].as_str().expect("a username");
        let holder = Username::parse(username).expect("one of ours").holder;
        let secret = Secret::from_text(SECRET).expect("a secret");
        let old = Credentials::mint(&secret, expired, holder);
        (turn["username"], turn["credential"]) = (json!(old.username), json!(old.password));
    })
    .await;
    let [to_ada, to_bob] = told;
    assert_eq!((to_bob.verdict, to_bob.side), (Verdict::TurnExpired, Some(Side::Theirs)));
    assert_eq!(to_bob.text, "ada: TURN credential expired 14 min ago");
    to_ada
}

pub(crate) async fn forget_the_password() -> Diagnosis {
    let server = start(&[]);
    let [told, _] = with_credentials(&server, |turn| turn["credential"] = json!("guess")).await;
    told
}

/// The operator takes the relay from Ada while it carries her link to Cyd; then Bob comes.
pub(crate) async fn be_revoked() -> Diagnosis {
    let server = api::start(&["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"]);
    let options = [relay_only(), relay_only()];
    let [(mut ada, _to_cyd), _cyd] = pair(server.announced("WebSocket"), &server, options).await;
    connected(&mut ada).await;
    let order = json!({"room": "demo", "peer": ada.peer_id().as_str()});
    assert_eq!(api::ask(&server, "POST", "/v1/revoke", Some(&order)).status, 200);
    let _bob = enter(server.announced("WebSocket"), "bob", &Options::default()).await;
    let to_bob = joined(&mut ada).await;
    until(&mut ada, |event| {
        let Event::Disconnected { peer, .. } = event else { return None };
        (*peer == to_bob).then_some(())
    })
    .await;
    diagnosis(&to_bob).await
}

/// Ada, who may only use the relay, comes with other credentials than she was given: what the two
/// are told.
async fn with_credentials(
    server: &Heliograph,
    change: impl Fn(&mut Value) + Clone + Send + Sync + 'static,
) -> [Diagnosis; 2] {
    let middleman = Middleman::before(server, move |frame| {
        let servers = frame.get_mut("ice_servers").and_then(Value::as_array_mut);
        let turn_servers = servers.into_iter().flatten().filter(|it| it["username"].is_string());
        turn_servers.for_each(&change);
    })
    .await;
    let options = [relay_only(), Options::default()];
    let [(mut ada, to_bob), (_bob, to_ada)] = pair(&middleman.url, server, options).await;
    troubled(&mut ada).await;
    [diagnosis(&to_bob).await, diagnosis(&to_ada).await]
}

/// The only allocation that Ada may have is that of her link to Cyd.
pub(crate) async fn use_the_quota_up() -> Diagnosis {
    let server = start(&["--user-quota", "1"]);
    let options = [relay_only(), relay_only()];
    let [(mut ada, _to_cyd), _cyd] = pair(server.announced("WebSocket"), &server, options).await;
    connected(&mut ada).await;
    let _bob = enter(server.announced("WebSocket"), "bob", &relay_only()).await;
    let to_bob = joined(&mut ada).await;
    troubled(&mut ada).await;
    diagnosis(&to_bob).await
}

/// Somebody of another room has the only port.
pub(crate) async fn fill_the_relay() -> Diagnosis {
    let port = free_udp_port("127.0.0.1").to_string();
    let server = start(&["--workers", "1", "--port-range", &format!("{port}-{port}")]);
    let cyd = Member::join(&server, "elsewhere").await;
    let mut allocation = cyd.turn(server.turn());
    assert!(allocation.request(Method::Allocate), "the one port is free");
    let options = [relay_only(), Options::default()];
    let [(mut ada, to_bob), _bob] = pair(server.announced("WebSocket"), &server, options).await;
    troubled(&mut ada).await;
    diagnosis(&to_bob).await
}

/// No way leads to the other, not even from a relay, which may send to that address.
pub(crate) async fn lose_all_checks() -> Diagnosis {
    without_a_way(&start(&["--allow-peer", DEAD_END])).await
}

/// The same, but the relay may not.
pub(crate) async fn name_a_forbidden_address() -> Diagnosis {
    without_a_way(&start(&[])).await
}

async fn without_a_way(server: &Heliograph) -> Diagnosis {
    let dead_end = DeadEnd::new();
    let middleman = Middleman::before(server, dead_end.misdirect()).await;
    let [(mut ada, to_bob), (mut bob, to_ada)] = pair(&middleman.url, server, freely()).await;
    // Until then it may still come.
    tokio::join!(without_path(&mut ada), without_path(&mut bob));
    diagnosis(&to_ada).await;
    diagnosis(&to_bob).await
}

async fn without_path(room: &mut Room) {
    until(room, |event| {
        matches!(event, Event::Disconnected { trouble: Trouble::NoPath, .. }).then_some(())
    })
    .await;
}

pub(crate) async fn name_a_dead_relay() -> Diagnosis {
    let dead_end = DeadEnd::new();
    let turn = format!("turn:{DEAD_END}:{}?transport=udp ada secret", dead_end.port());
    let server = Heliograph::start(&["signal", "--http", "127.0.0.1:0", "--ice-server", &turn]);
    let options = [relay_only(), Options::default()];
    let [(mut ada, to_bob), (mut bob, to_ada)] =
        pair(server.announced("WebSocket"), &server, options).await;
    tokio::join!(troubled(&mut ada), troubled(&mut bob));
    // Who asks says how it is first.
    diagnosis(&to_ada).await;
    diagnosis(&to_bob).await
}
