//! A token on its way between an edge and its shard: who wants a seat, or shows a newer token, is
//! looked at first, while the connection goes on with what else there is.

use crate::admission::{Refused, Wish};
use crate::auth::{Admitted, Denied, Question};
use crate::edges::Ties;
use signal_core::protocol::ErrorCode;
use signal_core::{Event, Hold, Join, Need, Renew, Request};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::{Instrument as _, debug_span};

/// A request whose token is being checked.
pub(crate) struct Checking {
    request: Option<Request>,
    outcome: Pin<Box<dyn Future<Output = Result<Admitted, Denied>> + Send>>,
}

/// The same, when that is done.
#[derive(Debug)]
pub(crate) struct Checked {
    request: Request,
    outcome: Result<Admitted, Denied>,
}

/// When to come again for who shows one token while another is being checked.
const ONE_AT_A_TIME: Duration = Duration::from_secs(1);

impl Future for Checking {
    type Output = Checked;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Checked> {
        self.outcome.as_mut().poll(cx).map(|outcome| {
            let request = self.request.take().expect("it is done once");
            Checked { request, outcome }
        })
    }
}

impl fmt::Debug for Checking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checking").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Ties {
    /// Keeps back what has to be checked first; anything else is given back.
    pub(crate) fn check_first(&mut self, request: Request) -> Option<Request> {
        if self.edges.auth.is_open() {
            return Some(request);
        }
        let (wish, id, question) = match request.need() {
            Need::Seat(join) => (Wish::Join, join.id, Some(self.question_of_join(join))),
            Need::Check(renew) => (Wish::Renew, renew.id, self.question_of_renew(renew)),
            Need::End => {
                // Nobody waits for it any more.
                self.checking = None;
                return Some(request);
            }
            Need::Session(_) | Need::Nothing => return Some(request),
        };
        let refusal = match (question, &self.checking) {
            (None, _) => {
                Denied::new(ErrorCode::HelloFirst, ErrorCode::HelloFirst.advice()).event(id)
            }
            (Some(_), Some(_)) => {
                Refused { code: ErrorCode::Busy, retry_after: ONE_AT_A_TIME }.event(id)
            }
            (Some(question), None) => match self.admit(wish) {
                Ok(()) => {
                    let (auth, now) = (self.edges.auth.clone(), self.edges.clock.now());
                    let outcome = Box::pin(
                        async move { auth.check(now, question).await }
                            .instrument(debug_span!("check_token")),
                    );
                    let request = Some(request);
                    self.checking = Some(Box::new(Checking { request, outcome }));
                    return None;
                }
                Err(refused) => refused.event(id),
            },
        };
        self.edge.handle_event(refusal);
        None
    }

    fn question_of_join(&self, join: &Join) -> Question {
        Question {
            room: join.room.clone(),
            address: self.origin.client,
            metadata: Some(join.metadata.clone()),
            peer: None,
            token: join.token.clone(),
        }
    }

    /// Nothing before there is a session.
    fn question_of_renew(&self, renew: &Renew) -> Option<Question> {
        Some(Question {
            room: self.room.clone()?,
            address: self.origin.client,
            metadata: None,
            peer: self.edge.peer().cloned(),
            token: Some(renew.token.clone()),
        })
    }

    /// Passes on what was checked; the refusal, if there is one.
    pub(crate) fn conclude(&mut self, checked: Checked) -> Option<Event> {
        let Checked { request, outcome } = checked;
        if let Request::Join(join) = request {
            self.conclude_join(join, outcome)
        } else if let Request::Renew(renew) = request {
            self.conclude_renew(renew, outcome)
        } else {
            None
        }
    }

    fn conclude_join(
        &mut self,
        mut join: Box<Join>,
        outcome: Result<Admitted, Denied>,
    ) -> Option<Event> {
        let id = join.id;
        let Admitted { mut grant, who } = match outcome {
            Ok(admitted) => admitted,
            Err(denied) => return Some(denied.event(id)),
        };
        let admission = &self.edges.admission;
        let place = who.map(|who| admission.join_as(self.edges.now(), who));
        match place.transpose() {
            Ok(place) => grant.hold = place.map(Hold::new),
            Err(refused) => return Some(refused.event(id)),
        }
        (join.token, join.grant) = (None, Some(Box::new(grant)));
        let message = self.message(Request::Join(join));
        self.ask(Wish::Join, id, message, Ok(()))
    }

    fn conclude_renew(
        &mut self,
        mut renew: Box<Renew>,
        outcome: Result<Admitted, Denied>,
    ) -> Option<Event> {
        let id = renew.id;
        match outcome {
            Ok(admitted) => renew.grant = Some(Box::new(admitted.grant)),
            Err(denied) => return Some(denied.event(id)),
        }
        let message = self.message(Request::Renew(renew));
        self.ask(Wish::Renew, id, message, Ok(()))
    }
}

impl Refused {
    pub(crate) fn event(self, id: Option<u64>) -> Event {
        let Self { code, retry_after } = self;
        Event::Refused { code, text: None, id, retry_after: Some(retry_after) }
    }
}

impl Denied {
    fn event(self, id: Option<u64>) -> Event {
        let Self { code, text, retry_after } = self;
        Event::Refused { code, text: Some(text), id, retry_after }
    }
}
