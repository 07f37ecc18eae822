//! A service that publishes keys: they change, and it fails.

use super::tokens::{Pair, SECRET};
use super::{Service, UNIX, at, denied, question};
use crate::HttpClient;
use crate::auth::key_url::Remote;
use crate::auth::tokens::Tokens;
use crate::auth::{Admitted, Denied, KeySource, KeyUrl, TokenConfig};
use heliograph_base::{Clock, Now};
use serde_json::json;
use std::time::Duration;

struct Setup {
    service: Service,
    tokens: Tokens,
}

/// Tokens whose keys a service publishes; it hasn't been asked yet, and is only when that is said.
async fn setup() -> Setup {
    let (service, url) = Service::start().await;
    let mut url = KeyUrl::new(url.parse().unwrap(), HttpClient::new(None).unwrap());
    // Of a silent one.
    url.timeout = Duration::from_millis(100);
    let tokens = Tokens::asking(TokenConfig::new(KeySource::Url(Box::new(url))));
    Setup { service, tokens }
}

impl Setup {
    fn publishes(&self, pairs: &[(&Pair, &str)]) {
        let keys: Vec<_> = pairs.iter().map(|(pair, id)| pair.jwk(id)).collect();
        self.service.answers(200, &json!({"keys": keys}));
    }

    async fn check(&self, now: Now, pair: &Pair, id: &str) -> Result<Admitted, Denied> {
        let token = pair.sign(Some(id), &json!({"exp": UNIX + 100_000}));
        self.tokens.check(now, &question("demo", Some(&token))).await
    }
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_and_a_withdrawn_one_is_forgotten() {
    let setup = setup().await;
    let (old, new) = (Pair::ed25519(), Pair::ed25519());
    setup.publishes(&[(&old, "old")]);
    assert!(setup.check(at(0), &old, "old").await.is_ok());
    assert!(setup.check(at(1), &old, "old").await.is_ok());
    assert_eq!(setup.service.asked(), 1, "what is known isn't asked for");

    setup.publishes(&[(&new, "new")]);
    assert!(setup.check(at(20), &new, "new").await.is_ok());
    let (code, text) = denied(setup.check(at(21), &old, "old").await);
    assert_eq!((&*code, text.contains("unknown key")), ("unauthorized", true), "{text}");
    assert_eq!(setup.service.asked(), 2);
}

#[tokio::test]
async fn a_key_without_a_name_does_not_stand_for_one_that_is_named() {
    let setup = setup().await;
    let (nameless, new) = (Pair::ed25519(), Pair::ed25519());
    let mut jwk = nameless.jwk("x");
    jwk.as_object_mut().unwrap().remove("kid");
    setup.service.answers(200, &json!({"keys": [jwk]}));
    assert!(setup.check(at(0), &nameless, "x").await.is_ok(), "it is tried");
    setup.publishes(&[(&new, "new")]);
    assert!(setup.check(at(20), &new, "new").await.is_ok(), "and then the service is asked");
}

#[tokio::test]
async fn strangers_cannot_have_it_asked_all_the_time() {
    let setup = setup().await;
    let (own, stranger) = (Pair::ed25519(), Pair::ed25519());
    setup.publishes(&[(&own, "own")]);
    assert!(setup.check(at(0), &own, "own").await.is_ok());
    for second in 0..25 {
        let id = format!("made-up-{second}");
        assert!(setup.check(at(second), &stranger, &id).await.is_err());
    }
    assert_eq!(setup.service.asked(), 3, "at 0, 10 and 20 s");
}

#[tokio::test]
async fn who_comes_while_it_is_asked_waits_for_the_same_answer() {
    let setup = setup().await;
    let own = Pair::ed25519();
    setup.publishes(&[(&own, "own")]);
    let checks = (0..20).map(|_| setup.check(at(0), &own, "own"));
    let outcomes = futures_util::future::join_all(checks).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(setup.service.asked(), 1);
}

#[tokio::test]
async fn the_last_good_keys_stay_in_use_while_it_fails() {
    let setup = setup().await;
    let (own, other) = (Pair::ed25519(), Pair::ed25519());
    setup.publishes(&[(&own, "own")]);
    assert!(setup.check(at(0), &own, "own").await.is_ok());
    let outages: [&dyn Fn(); 4] = [
        &|| setup.service.answers(500, &json!({"keys": [other.jwk("other")]})),
        &|| setup.service.answers(200, &json!({"keys": []})),
        &|| setup.service.answers(200, &json!("x".repeat(100_000))),
        &|| setup.service.is_silent(),
    ];
    for (number, outage) in outages.into_iter().enumerate() {
        outage();
        let now = at(1000 * (number as u64 + 1));
        assert_eq!(denied(setup.check(now, &other, "other").await).0, "unauthorized");
        assert!(setup.check(now, &own, "own").await.is_ok());
        assert_eq!(setup.tokens.failures(), number as u64 + 1);
    }
}

#[tokio::test]
async fn without_any_keys_nobody_is_let_in_until_there_are_some() {
    let setup = setup().await;
    let own = Pair::ed25519();
    setup.service.answers(503, &json!({}));
    let outcome = setup.check(at(0), &own, "own").await.unwrap_err();
    assert_eq!(outcome.code.to_string(), "auth_unavailable");
    assert!(outcome.retry_after.is_some() && outcome.code.retry());
    setup.publishes(&[(&own, "own")]);
    assert!(setup.check(at(10), &own, "own").await.is_ok());
}

#[tokio::test]
async fn a_secret_that_is_published_is_none() {
    let setup = setup().await;
    let k = data_encoding::BASE64URL_NOPAD.encode(SECRET);
    setup.service.answers(200, &json!({"keys": [{"kty": "oct", "kid": "own", "k": k}]}));
    let own = Pair::ed25519();
    assert_eq!(denied(setup.check(at(0), &own, "own").await).0, "auth_unavailable");
}

#[tokio::test]
async fn it_is_asked_at_the_start_and_no_more_after_the_end() {
    let (service, url) = Service::start().await;
    service.answers(200, &json!({"keys": [Pair::ed25519().jwk("own")]}));
    let url = KeyUrl::new(url.parse().unwrap(), HttpClient::new(None).unwrap());
    let remote = Remote::start(KeyUrl { interval: Duration::ZERO, ..url }, Clock::start());
    while remote.keys().is_none() {
        tokio::task::yield_now().await;
    }
    let weak = std::sync::Arc::downgrade(&remote);
    drop(remote);
    while weak.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}
