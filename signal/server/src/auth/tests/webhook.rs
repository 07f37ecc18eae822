//! A service that decides who is let in: what it is asked, and what its answers come to.

use super::{Service, UNIX, at, denied, question};
use crate::HttpClient;
use crate::auth::webhook::Webhook;
use crate::auth::{Admitted, WebhookConfig, Who};
use heliograph_base::{Secret, UnixTime};
use serde_json::{Value, json};
use signal_core::{Grant, PeerId, Token};
use std::time::Duration;

async fn setup(change: impl FnOnce(&mut WebhookConfig)) -> (Service, Webhook) {
    let (service, url) = Service::start().await;
    let mut config = WebhookConfig::new(url.parse().unwrap(), HttpClient::new(None).unwrap());
    // Of a silent one; the others answer at once, but on a busy machine.
    config.timeout = Duration::from_secs(10);
    change(&mut config);
    (service, Webhook::new(config))
}

#[tokio::test]
async fn it_is_told_who_comes_and_says_what_he_may_do() {
    let (service, webhook) = setup(|config| {
        config.secret = Some(Secret::from_text("north").unwrap());
    })
    .await;
    service.answers(
        200,
        &json!({"admit": true, "peer": "ada", "role": "host", "subject": "7",
                "expires_in_s": 60, "new": 1}),
    );
    let admitted = webhook.check(at(5), &question("demo", Some("opaque"))).await.unwrap();
    let grant = admitted.grant;
    assert_eq!((grant.peer.unwrap().as_str(), grant.role.unwrap().as_str()), ("ada", "host"));
    assert_eq!((grant.subject.as_deref(), grant.expires), (Some("7"), Some(at(65).time)));
    assert_eq!(admitted.who, Who::of(Some("7"), None));

    let (headers, body) = service.asked.lock().unwrap().pop().unwrap();
    let asked: Value = serde_json::from_str(&body).unwrap();
    let expected =
        json!({"room": "demo", "address": "192.0.2.1", "metadata": {}, "token": "opaque"});
    assert_eq!(asked, expected);
    assert_eq!(headers["content-type"], "application/json");
    let secret = Secret::from_text("north").unwrap();
    let now = UnixTime::from_seconds(UNIX + 5);
    assert_eq!(headers["heliograph-signature"], crate::signature(&secret, now, body.as_bytes()));
}

#[tokio::test]
async fn without_grants_or_a_token_it_is_a_plain_yes() {
    let (service, webhook) = setup(|_| {}).await;
    service.answers(200, &json!({"admit": true}));
    let admitted = webhook.check(at(0), &question("demo", None)).await.unwrap();
    assert_eq!(admitted, Admitted { grant: Grant::default(), who: None });
    let admitted = webhook.check(at(0), &question("demo", Some("opaque"))).await.unwrap();
    assert_eq!(admitted.who, Who::of(None, Some(&Token::new("opaque"))));
    let (headers, body) = service.asked.lock().unwrap().remove(0);
    assert!(!body.contains("token") && !headers.contains_key("heliograph-signature"));
}

#[tokio::test]
async fn who_is_in_already_is_asked_about_with_his_peer_id() {
    let (service, webhook) = setup(|_| {}).await;
    service.answers(200, &json!({"admit": true}));
    let mut question = question("demo", Some("newer"));
    (question.metadata, question.peer) = (None, Some(PeerId::parse("ada").unwrap()));
    webhook.check(at(0), &question).await.unwrap();
    let (_, body) = service.asked.lock().unwrap().pop().unwrap();
    let asked: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({"room": "demo", "address": "192.0.2.1", "peer": "ada", "token": "newer"});
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn it_refuses_with_a_text() {
    let (service, webhook) = setup(|_| {}).await;
    service.answers(200, &json!({"admit": false, "text": "the game is over"}));
    let outcome = webhook.check(at(0), &question("demo", None)).await;
    assert_eq!(denied(outcome), ("forbidden".to_owned(), "the game is over".to_owned()));
    service.answers(200, &json!({"admit": false, "text": "\u{e9}".repeat(1000)}));
    let (_, text) = denied(webhook.check(at(0), &question("demo", None)).await);
    assert_eq!(text.len(), 256, "within its limit, at the end of a character");
}

#[tokio::test]
async fn what_is_no_good_answer_lets_nobody_in() {
    let (service, webhook) = setup(|_| {}).await;
    for (status, answer, asked) in [
        (500, json!({"admit": true}), 2),
        (404, json!({"admit": true}), 1),
        (302, json!({"admit": true}), 1),
        (204, json!({"admit": true}), 1),
        (200, json!({}), 1),
        (200, json!({"admit": 1}), 1),
        (200, json!([true]), 1),
        (200, json!({"admit": true, "peer": "a b"}), 1),
        (200, json!({"admit": true, "role": "x".repeat(33)}), 1),
        (200, json!({"admit": true, "subject": "x".repeat(257)}), 1),
        (200, json!({"admit": true, "expires_in_s": -1}), 1),
        (200, json!({"admit": true, "pad": "x".repeat(20_000)}), 2),
    ] {
        service.asked.lock().unwrap().clear();
        service.answers(status, &answer);
        let outcome = webhook.check(at(0), &question("demo", None)).await.unwrap_err();
        assert_eq!(outcome.code.to_string(), "auth_unavailable", "{status} {answer}");
        assert!(outcome.retry_after.is_some());
        assert_eq!(service.asked(), asked, "{status} {answer}");
    }
    assert_eq!(webhook.failures(), 12);
}

#[tokio::test]
async fn silence_and_a_refused_connection_let_nobody_in() {
    let (service, webhook) = setup(|config| config.timeout = Duration::from_millis(50)).await;
    let outcome = webhook.check(at(0), &question("demo", None)).await;
    assert_eq!(denied(outcome).0, "auth_unavailable");
    assert_eq!(service.asked(), 2, "it is tried twice");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let client = HttpClient::new(None).unwrap();
    let webhook = Webhook::new(WebhookConfig::new(url.parse().unwrap(), client));
    assert_eq!(denied(webhook.check(at(0), &question("demo", None)).await).0, "auth_unavailable");
}

#[tokio::test]
async fn an_answer_is_remembered_for_as_long_as_it_says() {
    let (service, webhook) = setup(|_| {}).await;
    service.answers(200, &json!({"admit": true, "cache_s": 60, "expires_in_s": 600}));
    let first = webhook.check(at(0), &question("demo", Some("a"))).await.unwrap();
    service.answers(200, &json!({"admit": false, "cache_s": 60}));
    let again = webhook.check(at(59), &question("demo", Some("a"))).await.unwrap();
    assert_eq!(again, first, "its end is still the same");
    assert_eq!(service.asked(), 1);
    for other in [question("demo", Some("b")), question("other", Some("a")), question("demo", None)]
    {
        assert!(webhook.check(at(59), &other).await.is_err(), "that is another question");
    }
    assert_eq!(service.asked(), 4);
    assert!(webhook.check(at(60), &question("demo", Some("a"))).await.is_err(), "it is over");
    service.answers(200, &json!({"admit": true}));
    assert!(webhook.check(at(119), &question("demo", Some("a"))).await.is_err(), "a no, too");
    assert!(webhook.check(at(120), &question("demo", Some("a"))).await.is_ok());
    assert!(webhook.check(at(120), &question("demo", Some("a"))).await.is_ok());
    assert_eq!(service.asked(), 7, "without cache_s it is asked each time");
}

#[tokio::test]
async fn no_answer_is_remembered_longer_than_its_grant_or_the_limit() {
    let (service, webhook) = setup(|_| {}).await;
    let week = 7 * 86_400;
    service.answers(200, &json!({"admit": true, "cache_s": week, "expires_in_s": 60}));
    assert!(webhook.check(at(0), &question("demo", Some("a"))).await.is_ok());
    service.answers(200, &json!({"admit": true, "cache_s": week}));
    assert!(webhook.check(at(60), &question("demo", Some("a"))).await.is_ok());
    assert_eq!(service.asked(), 2);
    service.answers(200, &json!({"admit": false}));
    assert!(webhook.check(at(3659), &question("demo", Some("a"))).await.is_ok());
    assert!(webhook.check(at(3660), &question("demo", Some("a"))).await.is_err());
}

#[tokio::test]
async fn so_many_answers_are_remembered_and_so_many_questions_asked_at_once() {
    let (service, webhook) = setup(|config| config.cached_max = 2).await;
    service.answers(200, &json!({"admit": true, "cache_s": 60}));
    for _ in 0..2 {
        for token in ["a", "b", "c"] {
            assert!(webhook.check(at(0), &question("demo", Some(token))).await.is_ok());
        }
    }
    assert_eq!(service.asked(), 4, "there was no room for the third");
    assert!(webhook.check(at(60), &question("demo", Some("c"))).await.is_ok());
    assert!(webhook.check(at(61), &question("demo", Some("c"))).await.is_ok());
    assert_eq!(service.asked(), 5, "the others made room when they were over");

    let (service, webhook) = setup(|config| config.in_flight_max = 1).await;
    let (first, second) = (question("demo", Some("a")), question("demo", Some("b")));
    let mut asking = std::pin::pin!(webhook.check(at(0), &first));
    while service.asked() == 0 {
        assert!(futures_util::FutureExt::now_or_never(asking.as_mut()).is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(denied(webhook.check(at(0), &second).await).0, "auth_unavailable");
}

#[tokio::test]
async fn a_token_that_is_too_large_is_not_passed_on() {
    let (service, webhook) = setup(|_| {}).await;
    let outcome = webhook.check(at(0), &question("demo", Some(&"x".repeat(4097)))).await;
    assert_eq!((denied(outcome).0.as_str(), service.asked()), ("unauthorized", 0));
}
