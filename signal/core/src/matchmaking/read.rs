//! Tickets as clients write them.

use super::{Condition, Number, PlayerCount, Relax, Ticket, Value, Wish};
use crate::{MatchLimits, RoomId};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a text is no ticket, for a developer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTicket(String);

#[derive(Deserialize)]
struct TicketForm<'a> {
    #[serde(borrow)]
    queue: Cow<'a, str>,
    size: SizeForm,
    party: Option<u32>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(default)]
    properties: BTreeMap<String, ValueForm>,
    #[serde(default)]
    query: Vec<ConditionForm>,
    fill_s: Option<u64>,
    timeout_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "size is a number of players, or {\"min\":…,\"max\":…}")]
enum SizeForm {
    Exactly(u32),
    Between { min: u32, max: u32 },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value is a text or a number")]
enum ValueForm {
    Text(String),
    Number(f64),
}

#[derive(Deserialize)]
struct ConditionForm {
    property: String,
    equals: Option<ValueForm>,
    one_of: Option<Vec<ValueForm>>,
    within: Option<f64>,
    relax: Option<RelaxForm>,
}

#[derive(Deserialize)]
struct RelaxForm {
    after_s: u64,
    by: Option<f64>,
    to: Option<f64>,
}

impl Ticket {
    /// Reads one JSON object, as docs/protocol.md has it. Fields that a ticket doesn't have are
    /// ignored.
    ///
    /// # Errors
    /// [`BadTicket`] if it is something else, over a limit, or contradicts itself.
    pub fn parse(text: &str, limits: &MatchLimits) -> Result<Self, BadTicket> {
        if text.len() > limits.ticket_bytes_max {
            return Err(bad(format!("a ticket has at most {} bytes", limits.ticket_bytes_max)));
        }
        let form: TicketForm<'_> =
            serde_json::from_str(text).map_err(|error| bad(format!("no ticket: {error}")))?;
        let size = size(&form.size, limits)?;
        let party = form.party.unwrap_or(1);
        if party == 0 || party > size.most {
            return Err(bad("party is the number of players who stay together: 1 to size"));
        }
        let room = form.room.as_deref().map(RoomId::parse).transpose();
        let room = room.map_err(|error| bad(format!("room: {error}")))?;
        if room.is_some() && party >= size.least {
            return Err(bad("with a room, party counts who is there: fewer than the min of size"));
        }
        let properties = properties(form.properties, limits)?;
        if form.query.len() > limits.conditions_max {
            return Err(bad(format!("at most {} conditions", limits.conditions_max)));
        }
        let condition = |form| condition(form, &properties, limits);
        let query = form.query.into_iter().map(condition).collect::<Result<_, _>>()?;
        let timeout = seconds("timeout_s", form.timeout_s, limits)?.unwrap_or(limits.timeout);
        if timeout.is_zero() {
            return Err(bad("timeout_s is 1 or more"));
        }
        Ok(Self {
            queue: name("queue", &form.queue)?,
            size,
            party,
            room,
            query,
            properties,
            fill: seconds("fill_s", form.fill_s, limits)?.unwrap_or(limits.fill),
            timeout,
        })
    }
}

fn size(form: &SizeForm, limits: &MatchLimits) -> Result<PlayerCount, BadTicket> {
    let (least, most) = match *form {
        SizeForm::Exactly(players) => (players, players),
        SizeForm::Between { min, max } => (min, max),
    };
    if least < 2 || least > most || most > limits.players_max {
        let players_max = limits.players_max;
        return Err(bad(format!("size is 2 to {players_max} players, min no more than max")));
    }
    Ok(PlayerCount { least, most })
}

fn properties(
    forms: BTreeMap<String, ValueForm>,
    limits: &MatchLimits,
) -> Result<BTreeMap<Arc<str>, Value>, BadTicket> {
    if forms.len() > limits.properties_max {
        return Err(bad(format!("at most {} properties", limits.properties_max)));
    }
    let property = |(text, form): (String, ValueForm)| {
        Ok((name("the name of a property", &text)?, value(form, limits)?))
    };
    forms.into_iter().map(property).collect()
}

fn condition(
    form: ConditionForm,
    properties: &BTreeMap<Arc<str>, Value>,
    limits: &MatchLimits,
) -> Result<Condition, BadTicket> {
    let ConditionForm { property, equals, one_of, within, relax } = form;
    let property = name("property", &property)?;
    let wish = match (equals, one_of, within) {
        (Some(form), None, None) => Wish::OneOf(vec![value(form, limits)?]),
        (None, Some(forms), None) => {
            if forms.is_empty() || forms.len() > limits.choices_max {
                return Err(bad(format!("one_of has 1 to {} values", limits.choices_max)));
            }
            let choices = forms.into_iter().map(|form| value(form, limits));
            Wish::OneOf(choices.collect::<Result<_, _>>()?)
        }
        (None, None, Some(distance)) => {
            let Some(Value::Number(own)) = properties.get(&property) else {
                let text = format!("within needs a number of one's own: the property {property}");
                return Err(bad(text));
            };
            Wish::Within { own: *own, distance: positive("within", distance)? }
        }
        _ => return Err(bad("a condition has one of equals, one_of and within")),
    };
    let relax = relax.map(|form| checked_relax(&form, &wish, limits)).transpose()?;
    Ok(Condition { property, wish, relax })
}

fn checked_relax(form: &RelaxForm, wish: &Wish, limits: &MatchLimits) -> Result<Relax, BadTicket> {
    let after = seconds("after_s", Some(form.after_s), limits)?.unwrap_or_default();
    let by = form.by.map(|by| positive("by", by)).transpose()?;
    let to = form.to.map(|to| positive("to", to)).transpose()?;
    match wish {
        Wish::OneOf(_) if by.or(to).is_some() => {
            Err(bad("only within relaxes by and to; others are dropped"))
        }
        Wish::Within { distance, .. } if to.is_some_and(|to| to < *distance) => {
            Err(bad("to is no less than within"))
        }
        Wish::OneOf(_) | Wish::Within { .. } => Ok(Relax { after, by, to }),
    }
}

fn value(form: ValueForm, limits: &MatchLimits) -> Result<Value, BadTicket> {
    match form {
        ValueForm::Text(text) if text.len() > limits.text_bytes_max => {
            Err(bad(format!("a text has at most {} bytes", limits.text_bytes_max)))
        }
        ValueForm::Text(text) => Ok(Value::Text(text.into())),
        ValueForm::Number(number) => {
            Number::new(number).map(Value::Number).ok_or_else(|| bad("a number is finite"))
        }
    }
}

/// Names keep to the alphabet of rooms.
fn name(what: &str, text: &str) -> Result<Arc<str>, BadTicket> {
    match RoomId::parse(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(bad(format!("{what}: {error}"))),
    }
}

fn positive(what: &str, number: f64) -> Result<f64, BadTicket> {
    let is_good = number.is_finite() && number >= 0.0;
    is_good.then_some(number).ok_or_else(|| bad(format!("{what} is 0 or more")))
}

fn seconds(
    what: &str,
    seconds: Option<u64>,
    limits: &MatchLimits,
) -> Result<Option<Duration>, BadTicket> {
    let most = limits.timeout_max;
    match seconds.map(Duration::from_secs) {
        Some(time) if time > most => {
            Err(bad(format!("{what} is at most {} seconds", most.as_secs())))
        }
        time => Ok(time),
    }
}

fn bad(text: impl Into<String>) -> BadTicket {
    BadTicket(text.into())
}
