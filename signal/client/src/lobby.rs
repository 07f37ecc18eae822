//! What there is before a room: to find public rooms, to make one, and to be matched with others.

use crate::config::{ANSWER_TIMEOUT, TICKET_PING, TICKET_SILENCE_MAX, TICKET_TIMEOUT};
use crate::line::{SocketEvent, whole};
use crate::place::{Place, Server};
use crate::platform::{Http, Socket, now, sleep_until, spawn_last};
use crate::{Error, MakeRoom, Match, PublicRoom, RoomId, RoomSearch, Ticket};
use signal_core::client::{BadAnswer, PostedTicket, Question, TicketStatus};
use std::time::Duration;

/// The public rooms of a server that fit, a second old at most.
///
/// ```no_run
/// use heliograph_client::{RoomSearch, list_rooms};
///
/// # async fn example() -> Result<(), heliograph_client::Error> {
/// let search = RoomSearch {
///     conditions: vec!["mode=duel".to_owned(), "rank<1300".to_owned()],
///     open: true,
///     sort: Some("-members".to_owned()),
///     ..RoomSearch::default()
/// };
/// for room in list_rooms("http://127.0.0.1:8080", &search).await? {
///     println!("{}: {} of {}", room.room, room.members, room.capacity);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Refused`] if a condition or the order can't be read, or too much is asked for;
/// [`Error::BadUrl`], [`Error::Unreachable`], [`Error::Untrusted`], [`Error::BadAuthorities`],
/// [`Error::Timeout`] and [`Error::NotHeliograph`].
pub async fn list_rooms(
    server: impl Into<Server>,
    search: &RoomSearch,
) -> Result<Vec<PublicRoom>, Error> {
    ask(&Place::of(server.into())?, search.question(), ANSWER_TIMEOUT).await
}

/// One public room of a server; none, if there is no public one of this name.
///
/// # Errors
/// [`Error::BadRoom`], and as [`list_rooms`].
pub async fn find_room(server: impl Into<Server>, room: &str) -> Result<Option<PublicRoom>, Error> {
    let question = PublicRoom::question(&RoomId::parse(room)?);
    ask(&Place::of(server.into())?, question, ANSWER_TIMEOUT).await
}

/// Makes a room before anybody is there: its id, for [`join`](crate::join).
///
/// # Errors
/// [`Error::Refused`] if there is a room of this name already, if the options break a limit, or if
/// who can't join it can't make it; and as [`list_rooms`].
pub async fn make_room(server: impl Into<Server>, room: &MakeRoom) -> Result<RoomId, Error> {
    ask(&Place::of(server.into())?, room.question(), ANSWER_TIMEOUT).await
}

/// How a match is looked for. New fields may be added, so fill the rest from
/// `MatchOptions::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchOptions {
    /// Posts the ticket by HTTP instead of a WebSocket. Without it: where no WebSocket opens.
    pub http: bool,
}

/// Finds others to meet: where, or none if nobody fits in time.
///
/// Whoever stops waiting, by dropping the future, takes the ticket back.
///
/// ```no_run
/// use heliograph_client::{MatchOptions, Options, Ticket, find_match, join};
///
/// # async fn example() -> Result<(), heliograph_client::Error> {
/// let url = "http://127.0.0.1:8080";
/// let mut ticket = Ticket::new("arena-7", 2..=4);
/// ticket.properties.insert("region".to_owned(), "eu".into());
/// if let Some(found) = find_match(url, &ticket, MatchOptions::default()).await? {
///     let room = join(url, found.room.as_str(), Options::default()).await?;
///     println!("{} of {} players are here", found.seats.len(), found.players);
///     room.close().await;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Refused`] if the ticket can't be read or too much is asked for; [`Error::Lost`] and
/// [`Error::Closed`] if the connection ended while it waited: post it again; and as [`list_rooms`].
pub async fn find_match(
    server: impl Into<Server>,
    ticket: &Ticket,
    options: MatchOptions,
) -> Result<Option<Match>, Error> {
    let place = Place::of(server.into())?;
    if options.http {
        return match_by_http(&place, ticket).await;
    }
    match Socket::open(place.clone()).await {
        Ok(socket) => match_by_socket(&place, *socket, ticket).await,
        // Where nobody is, nothing else gets there either.
        Err(error @ Error::Unreachable { .. }) => Err(error),
        Err(_) => match_by_http(&place, ticket).await,
    }
}

async fn match_by_socket(
    place: &Place,
    mut socket: Socket,
    ticket: &Ticket,
) -> Result<Option<Match>, Error> {
    socket.send(ticket.frame());
    let mut heard = now();
    let mut ping = heard + TICKET_PING;
    loop {
        let event = tokio::select! {
            event = socket.event() => event,
            () = sleep_until(ping) => {
                let silence = now().since(heard);
                if silence >= TICKET_SILENCE_MAX {
                    return Err(Error::Timeout { address: place.address(), after: silence });
                }
                // Shows a waiting server that we are there, too.
                socket.send(r#"{"type":"ping"}"#.to_owned());
                ping = now() + TICKET_PING;
                continue;
            }
        };
        heard = now();
        match event {
            SocketEvent::Text(text) => {
                match TicketStatus::read_frame(&text).map_err(|bad| error(place, bad))? {
                    Some(TicketStatus::Matched(found)) => return Ok(Some(found)),
                    Some(TicketStatus::Expired | TicketStatus::Cancelled) => return Ok(None),
                    Some(TicketStatus::Waiting) | None => {}
                }
            }
            SocketEvent::SignOfLife => {}
            SocketEvent::Unreadable(why) => {
                return Err(Error::NotHeliograph { address: place.address(), why });
            }
            SocketEvent::Closed { code, text } => return Err(Error::Closed { code, text }),
            SocketEvent::Broken(why) => return Err(Error::Lost(why)),
            SocketEvent::Failed(error) => return Err(error),
        }
    }
}

async fn match_by_http(place: &Place, ticket: &Ticket) -> Result<Option<Match>, Error> {
    let posted = ask(place, ticket.question(), ANSWER_TIMEOUT).await?;
    let mut held = HeldTicket { place, posted, waits: true };
    loop {
        let status = ask(place, held.posted.look(), TICKET_TIMEOUT).await?;
        held.waits = status == TicketStatus::Waiting;
        match status {
            TicketStatus::Waiting => {}
            TicketStatus::Matched(found) => return Ok(Some(found)),
            TicketStatus::Expired | TicketStatus::Cancelled => return Ok(None),
        }
    }
}

/// A ticket that is taken back when nobody waits for it any more.
struct HeldTicket<'a> {
    place: &'a Place,
    posted: PostedTicket,
    waits: bool,
}

impl Drop for HeldTicket<'_> {
    fn drop(&mut self) {
        if self.waits {
            let (place, cancel) = (self.place.clone(), self.posted.cancel());
            spawn_last(async move {
                // It may be too late: then the others find an empty seat, as if we had left.
                let _ = ask(&place, cancel, ANSWER_TIMEOUT).await;
            });
        }
    }
}

/// Asks the server for something by a request of its own.
pub(crate) async fn ask<T>(
    place: &Place,
    question: Question<T>,
    patience: Duration,
) -> Result<T, Error> {
    let Question { request, .. } = &question;
    let answer = tokio::select! {
        answer = whole(Http::new(place.clone()), request) => answer,
        () = sleep_until(now() + patience) => {
            return Err(Error::Timeout { address: place.address(), after: patience });
        }
    };
    let (status, body) = answer?;
    question.read(status, &body).map_err(|bad| error(place, bad))
}

fn error(place: &Place, bad: BadAnswer) -> Error {
    match bad {
        BadAnswer::Refused(refusal) => refusal.into(),
        BadAnswer::Unreadable(why) => Error::NotHeliograph { address: place.address(), why },
    }
}
