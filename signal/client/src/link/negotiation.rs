//! Perfect negotiation (<https://www.w3.org/TR/webrtc/#perfect-negotiation-example>) without IO:
//! what to do with each signal of the peer. The server gave the roles, so exactly one of the two is
//! polite.

use super::signal::{Candidate, Description, Kind, Signal};
use crate::config::CANDIDATES_HELD_MAX;

/// One step for the connection, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take back the own offer.
    Rollback,
    /// Set the remote description.
    Accept(Description),
    /// Make, set and send an answer.
    Answer,
    /// Add a remote candidate.
    Add(Candidate),
}

/// One side's view of the negotiation.
#[derive(Debug)]
pub(crate) struct Negotiation {
    polite: bool,
    /// The own offer is out and not answered.
    offered: bool,
    /// The user fragment of the remote description in force; `None` before there is one, empty if
    /// it has none.
    remote: Option<String>,
    /// Candidates that came before their description, which may be one that is ignored.
    held: Vec<Candidate>,
}

impl Negotiation {
    pub(crate) fn new(polite: bool) -> Self {
        Self { polite, offered: false, remote: None, held: Vec::new() }
    }

    /// Whether the own offer is out and not answered.
    pub(crate) fn has_offered(&self) -> bool {
        self.offered
    }

    /// Another role from now on.
    pub(crate) fn set_polite(&mut self, polite: bool) {
        self.polite = polite;
    }

    /// An own offer is set and goes out.
    pub(crate) fn handle_offered(&mut self) {
        self.offered = true;
    }

    /// A signal of the peer has come.
    pub(crate) fn handle_signal(&mut self, signal: Signal) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(description) = signal.description {
            match description.kind {
                Kind::Offer => self.handle_offer(description, &mut actions),
                Kind::Answer => self.handle_answer(description, &mut actions),
                // Offers are answered at once, so there is none left to take back.
                Kind::Rollback => {}
            }
        }
        if let Some(Some(candidate)) = signal.candidate {
            self.handle_candidate(candidate, &mut actions);
        }
        actions
    }

    fn handle_offer(&mut self, offer: Description, actions: &mut Vec<Action>) {
        if self.offered && !self.polite {
            return; // The other side gives way and answers ours.
        }
        if std::mem::take(&mut self.offered) {
            actions.push(Action::Rollback);
        }
        self.accept(offer, actions);
        actions.push(Action::Answer);
        self.release(actions);
    }

    fn handle_answer(&mut self, answer: Description, actions: &mut Vec<Action>) {
        // Else it answers an offer that was taken back.
        if std::mem::take(&mut self.offered) {
            self.accept(answer, actions);
            self.release(actions);
        }
    }

    fn handle_candidate(&mut self, candidate: Candidate, actions: &mut Vec<Action>) {
        if self.belongs(&candidate) {
            actions.push(Action::Add(candidate));
        } else if self.held.len() < CANDIDATES_HELD_MAX {
            self.held.push(candidate);
        }
    }

    fn accept(&mut self, description: Description, actions: &mut Vec<Action>) {
        self.remote = Some(description.username_fragment().unwrap_or_default().to_owned());
        actions.push(Action::Accept(description));
    }

    /// Adds what was held for the description in force. The rest belongs to an offer that is
    /// ignored or was taken back.
    fn release(&mut self, actions: &mut Vec<Action>) {
        let held = std::mem::take(&mut self.held);
        actions
            .extend(held.into_iter().filter(|candidate| self.belongs(candidate)).map(Action::Add));
    }

    fn belongs(&self, candidate: &Candidate) -> bool {
        match (&self.remote, &candidate.username_fragment) {
            (None, _) => false,
            (Some(remote), Some(fragment)) => remote.is_empty() || remote == fragment,
            (Some(_), None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn description(kind: Kind, fragment: &str) -> Description {
        Description { kind, sdp: format!("v=0\r\na=ice-ufrag:{fragment}\r\n") }
    }

    fn candidate(fragment: Option<&str>) -> Candidate {
        Candidate { username_fragment: fragment.map(str::to_owned), ..Candidate::default() }
    }

    #[test]
    fn a_candidate_waits_for_its_description() {
        let mut side = Negotiation::new(true);
        assert_eq!(side.handle_signal(Some(candidate(Some("a"))).into()), []);
        assert_eq!(side.handle_signal(Some(candidate(None)).into()), []);
        let offer = description(Kind::Offer, "a");
        assert_eq!(
            side.handle_signal(offer.clone().into()),
            [
                Action::Accept(offer),
                Action::Answer,
                Action::Add(candidate(Some("a"))),
                Action::Add(candidate(None)),
            ]
        );
    }

    #[test]
    fn candidates_of_an_ignored_offer_are_not_added() {
        let mut side = Negotiation::new(false);
        side.handle_offered();
        assert_eq!(side.handle_signal(description(Kind::Offer, "ignored").into()), []);
        assert_eq!(side.handle_signal(Some(candidate(Some("ignored"))).into()), []);
        let answer = description(Kind::Answer, "b");
        assert_eq!(side.handle_signal(answer.clone().into()), [Action::Accept(answer)]);
        assert_eq!(
            side.handle_signal(Some(candidate(Some("b"))).into()),
            [Action::Add(candidate(Some("b")))]
        );
    }

    #[test]
    fn the_answer_to_an_offer_that_was_taken_back_is_ignored() {
        let mut side = Negotiation::new(true);
        side.handle_offered();
        assert_eq!(side.handle_signal(description(Kind::Offer, "b").into())[0], Action::Rollback);
        assert_eq!(side.handle_signal(description(Kind::Answer, "b").into()), []);
    }

    #[test]
    fn held_candidates_are_bounded() {
        let mut side = Negotiation::new(true);
        for _ in 0..2 * CANDIDATES_HELD_MAX {
            side.handle_signal(Some(candidate(None)).into());
        }
        assert_eq!(
            side.handle_signal(description(Kind::Offer, "a").into()).len(),
            2 + CANDIDATES_HELD_MAX
        );
    }

    /// One side with a connection that only counts: its signaling state and which offer it last
    /// agreed on.
    struct Side {
        negotiation: Negotiation,
        name: &'static str,
        offers: usize,
        pending: Option<String>,
        agreed: Option<String>,
    }

    impl Side {
        fn new(name: &'static str, polite: bool) -> Self {
            Self {
                negotiation: Negotiation::new(polite),
                name,
                offers: 0,
                pending: None,
                agreed: None,
            }
        }

        /// As `onnegotiationneeded` does: only from the stable state.
        fn offer(&mut self, out: &mut VecDeque<Signal>) {
            if self.pending.is_some() {
                return;
            }
            self.offers += 1;
            let id = format!("{}{}", self.name, self.offers);
            self.pending = Some(id.clone());
            self.negotiation.handle_offered();
            out.push_back(Description { kind: Kind::Offer, sdp: id }.into());
        }

        fn receive(&mut self, signal: Signal, out: &mut VecDeque<Signal>) {
            let mut remote = None;
            for action in self.negotiation.handle_signal(signal) {
                match action {
                    Action::Rollback => {
                        assert!(self.pending.take().is_some(), "nothing to take back");
                    }
                    Action::Accept(Description { kind: Kind::Offer, sdp }) => {
                        assert!(self.pending.is_none(), "an implicit rollback");
                        remote = Some(sdp);
                    }
                    Action::Accept(Description { sdp, .. }) => {
                        assert_eq!(
                            self.pending.take().as_ref(),
                            Some(&sdp),
                            "another offer's answer"
                        );
                        self.agreed = Some(sdp);
                    }
                    Action::Answer => {
                        self.agreed.clone_from(&remote);
                        let sdp = remote.take().expect("an offer to answer");
                        out.push_back(Description { kind: Kind::Answer, sdp }.into());
                    }
                    Action::Add(_) => {}
                }
            }
        }
    }

    proptest! {
        /// Whatever both do at once and however the deliveries interleave, they end stable and
        /// agree.
        #[test]
        fn two_sides_always_agree_in_the_end(steps in proptest::collection::vec(0..4u8, 0..40)) {
            let (mut a, mut b) = (Side::new("a", true), Side::new("b", false));
            let (mut to_a, mut to_b) = (VecDeque::new(), VecDeque::new());
            for step in steps.into_iter().chain([2, 3].into_iter().cycle().take(100)) {
                match step {
                    0 => a.offer(&mut to_b),
                    1 => b.offer(&mut to_a),
                    2 => if let Some(signal) = to_a.pop_front() { a.receive(signal, &mut to_b) },
                    _ => if let Some(signal) = to_b.pop_front() { b.receive(signal, &mut to_a) },
                }
            }
            prop_assert!(to_a.is_empty() && to_b.is_empty());
            prop_assert!(a.pending.is_none() && b.pending.is_none());
            prop_assert_eq!(a.agreed, b.agreed);
        }
    }
}
