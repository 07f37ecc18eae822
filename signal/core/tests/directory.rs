//! Looking for public rooms, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heliograph_base::UnixTime;
use serde_json::value::RawValue;
use signal_core::{
    BadSearch, Comparison, Condition, ListedRoom, PublicRoom, RoomId, RoomSearch, SearchLimits,
};

fn listed(room: &str, members: usize, state: &str) -> ListedRoom {
    ListedRoom::new(PublicRoom {
        room: RoomId::parse(room).unwrap(),
        members,
        capacity: 4,
        sealed: false,
        locked: room == "locked",
        since: UnixTime { seconds: members as u64 },
        version: 1,
        state: Some(RawValue::from_string(state.to_owned()).unwrap()),
    })
}

fn search(query: &[(&str, &str)]) -> Result<RoomSearch, BadSearch> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    RoomSearch::read(&query.iter().map(owned).collect::<Vec<_>>(), &SearchLimits::default())
}

fn found(query: &[(&str, &str)]) -> Vec<String> {
    let rooms = [
        listed("a", 1, r#"{"mode": "duel", "rank": 1200.5, "ranked": true}"#),
        listed("b", 4, r#"{"mode": "duel", "rank": 900}"#),
        listed("c", 2, r#"{"mode": "race", "rank": "high"}"#),
        listed("d", 3, "[1]"),
        listed("locked", 2, r#"{"mode": "duel", "rank": 1000, "note": null}"#),
    ];
    let search = search(query).unwrap();
    search.find(&rooms).into_iter().map(|listed| listed.room.room.to_string()).collect()
}

#[test]
fn rooms_are_found_by_their_state() {
    assert_eq!(found(&[]), ["a", "b", "c", "d", "locked"]);
    assert_eq!(found(&[("where", "mode=duel")]), ["a", "b", "locked"]);
    assert_eq!(found(&[("where", "mode!=duel")]), ["c", "d"]);
    assert_eq!(found(&[("where", "mode=duel"), ("where", "rank<1000")]), ["b"]);
    assert_eq!(found(&[("where", "rank<=1000")]), ["b", "locked"]);
    assert_eq!(found(&[("where", "rank>=1000")]), ["a", "locked"]);
    assert_eq!(found(&[("where", "rank>1000")]), ["a"]);
    assert_eq!(found(&[("where", "rank=high")]), ["c"]);
    assert_eq!(found(&[("where", "rank<inf")]), ["c"], "that is a text, and no number");
    assert_eq!(found(&[("where", "ranked=true")]), ["a"]);
    assert_eq!(found(&[("where", "note=null")]), [""; 0], "nothing is equal to nothing");
    assert_eq!(found(&[("open", "true")]), ["a", "c", "d"]);
}

#[test]
fn they_come_in_the_order_that_is_asked_for() {
    assert_eq!(found(&[("sort", "members")]), ["a", "c", "locked", "d", "b"]);
    assert_eq!(found(&[("sort", "-since"), ("limit", "2")]), ["b", "d"]);
    assert_eq!(found(&[("sort", "state.rank")]), ["b", "locked", "a", "c", "d"]);
    assert_eq!(found(&[("sort", "-room")]), ["locked", "d", "c", "b", "a"]);
}

#[test]
fn what_cannot_be_searched_says_why() {
    for bad in ["", "mode", "=duel", "mode~duel", "!x"] {
        assert!(search(&[("where", bad)]).unwrap_err() == BadSearch::Condition, "{bad}");
    }
    assert!(search(&[("sort", "colour")]).unwrap_err() == BadSearch::Sort);
    for bad in ["0", "101", "-1", "x"] {
        assert!(search(&[("limit", bad)]).unwrap_err() == BadSearch::Limit(100), "{bad}");
    }
    let many = vec![("where", "a=1"); 9];
    assert!(search(&many).unwrap_err() == BadSearch::Conditions(8));
    assert!(search(&[("colour", "red")]).is_ok(), "for newer servers");
}

/// All texts of up to five of these.
#[test]
fn any_condition_is_refused_or_holds_or_does_not() {
    let values = [r#"{"a": 1}"#, r#"{"a": "1"}"#, r#"{"a": true}"#, r#"{"a": [1]}"#, "1"];
    let rooms = values.map(|value| listed("a", 1, value));
    let mut texts = vec![String::new()];
    let mut read = 0;
    for _ in 0..5 {
        let longer =
            |text: &String| ["a", "=", "!", "<", ">", "1", "é"].map(|it| text.clone() + it);
        texts = texts.iter().flat_map(longer).collect();
        for text in &texts {
            let Ok(search) = search(&[("where", text)]) else { continue };
            read += 1;
            let found = search.find(&rooms).len();
            let Condition { field, is, value } = &search.conditions[0];
            assert!(text.starts_with(field) && text.ends_with(value) && !field.is_empty());
            // What isn't there is equal to nothing.
            let all_lack = field != "a" && *is == Comparison::NotEqual;
            assert!(field == "a" || found == if all_lack { rooms.len() } else { 0 }, "{text}");
        }
    }
    assert!(read > 5000, "{read}");
}

#[test]
fn a_room_shows_what_anybody_may_know() {
    let text = listed("locked", 2, "[ 1]").text();
    let expected = concat!(
        r#"{"room":"locked","members":2,"capacity":4,"open":false,"sealed":false,"#,
        r#""locked":true,"since":2,"state":{"version":1,"value":[ 1]}}"#
    );
    assert_eq!(text, expected);
}
