//! A correct client, as docs/protocol.md describes it, that believes nothing it isn't told.

use super::ledger::Known;
use signal_core::protocol::{
    ClientFrame, ClientMessage, CloseCode, Entry, ErrorCode, ErrorFrame, Member, ServerFrame,
    ServerMessage, Welcome,
};
use std::collections::{BTreeMap, HashSet, VecDeque};

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) room: String,
    /// Whether it acknowledges what comes.
    pub(crate) acknowledges: bool,
    pub(crate) link: Link,
    pub(crate) session: Option<Session>,
    /// Its sessions that are over, or that it has given up.
    pub(crate) past: Vec<Session>,
}

/// Its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    None,
    /// It has said `hello`, or `resume` with this number.
    Asked(u64, Option<u64>),
    /// Frames come on it, the last one with this number.
    Live(u64, u64),
}

/// What it knows of its session, and all that ever happened in it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) peer: String,
    /// The last frame that came.
    pub(crate) seq: u64,
    acked: u64,
    last_id: u64,
    pub(crate) unacked: VecDeque<Sent>,
    pub(crate) roster: Vec<Known>,
    gone: HashSet<String>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) received: Vec<(String, u64)>,
    pub(crate) errors: BTreeMap<u64, ErrorCode>,
    /// Up to which request it knows what came of them, since an acknowledgement came in its turn.
    settled: u64,
    pub(crate) resyncs: u64,
}

/// A signal: its payload is a number that no other one has.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: Option<u64>,
    pub(crate) to: String,
    pub(crate) payload: u64,
}

impl Client {
    pub(crate) fn new(room: &str) -> Self {
        Self {
            room: room.to_owned(),
            acknowledges: true,
            link: Link::None,
            session: None,
            past: Vec::new(),
        }
    }

    pub(crate) fn conn(&self) -> Option<u64> {
        match self.link {
            Link::None => None,
            Link::Asked(conn, _) | Link::Live(conn, _) => Some(conn),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.link, Link::Live(..))
    }

    /// The first frame on a connection: it takes its session up again if it has one.
    pub(crate) fn open(&mut self, conn: u64, forgets: Forgets) -> String {
        let Some(seq) = self.resume(conn, forgets) else {
            self.link = Link::Asked(conn, None);
            let room = self.room.as_str().into();
            let (once, token) = (None, "".into());
            return encode(
                None,
                None,
                ClientFrame::Hello { room, metadata: None, once, token, entry: Entry::default() },
            );
        };
        let session = self.session.as_ref().expect("it resumes it");
        let (session, key) = (session.name.as_str().into(), session.key.as_str().into());
        encode(None, None, ClientFrame::Resume { session, key, seq, attempt: None })
    }

    /// Waits for frames on a connection behind the last one that came, if it has a session. One
    /// that isn't sure of its memory asks for something else than it should.
    pub(crate) fn resume(&mut self, conn: u64, forgets: Forgets) -> Option<u64> {
        let session = self.session.as_ref()?;
        let seq = match forgets {
            Forgets::Nothing => session.seq,
            Forgets::Last(frames) => session.seq.saturating_sub(frames),
            Forgets::WhoItIs => session.seq + 1_000_000,
        };
        self.link = Link::Asked(conn, Some(seq));
        Some(seq)
    }

    /// Keeps a signal that is numbered; the text, if it can be sent now.
    pub(crate) fn signal(&mut self, to: &str, payload: u64, numbered: bool) -> Option<String> {
        let (is_live, acknowledges) = (self.is_live(), self.acknowledges);
        let session = self.session.as_mut()?;
        if !numbered && !is_live {
            return None;
        }
        if numbered {
            session.last_id += 1;
        }
        let id = numbered.then_some(session.last_id);
        let sent = Sent { id, to: to.to_owned(), payload };
        session.sent.push(sent.clone());
        if numbered {
            session.unacked.push_back(sent.clone());
        }
        let ack = (acknowledges && payload.is_multiple_of(3)).then_some(session.seq);
        is_live.then(|| sent.text(ack))
    }

    /// Says which frames have come, if there is news.
    pub(crate) fn ack(&mut self) -> Option<String> {
        let (is_live, acknowledges) = (self.is_live(), self.acknowledges);
        let session = self.session.as_mut()?;
        let is_news = is_live && acknowledges && session.seq > session.acked;
        session.acked = if is_news { session.seq } else { session.acked };
        is_news.then(|| encode(None, Some(session.seq), ClientFrame::Ack))
    }

    pub(crate) fn leave(&mut self, acks: bool) -> Option<String> {
        let ack = self.session.as_ref().map(|session| session.seq);
        let is_live = self.is_live();
        self.give_up();
        is_live.then(|| encode(None, ack.filter(|_| acks), ClientFrame::Leave))
    }

    /// Its session is no more, as far as it is concerned.
    pub(crate) fn give_up(&mut self) {
        self.link = Link::None;
        self.past.extend(self.session.take());
    }

    pub(crate) fn closed(&mut self, code: CloseCode) {
        self.link = Link::None;
        match code {
            CloseCode::Normal | CloseCode::Superseded => self.give_up(),
            CloseCode::HelloTimeout | CloseCode::SlowReader | CloseCode::Vanished => {}
            CloseCode::NotWebSocket
            | CloseCode::NotUtf8
            | CloseCode::TooBig
            | CloseCode::Shutdown
            | CloseCode::Expired
            | CloseCode::Misbehaved
            | CloseCode::RoomClosed
            | CloseCode::Kicked => panic!("closed with {code:?} though it is correct"),
        }
    }

    /// Reads a frame that came on its connection; what it sends in answer.
    pub(crate) fn read(&mut self, text: &str) -> Vec<String> {
        let ServerMessage { seq, ack, frame } = ServerMessage::parse(text).unwrap();
        match (&frame, self.link) {
            (ServerFrame::Welcome(welcome), Link::Asked(conn, None)) => {
                assert_eq!((seq, welcome.ack), (Some(1), 0));
                self.session = Some(Session::new(welcome));
                self.link = Link::Live(conn, 1);
                return Vec::new();
            }
            (ServerFrame::Resumed { ack }, Link::Asked(conn, Some(asked))) => {
                self.link = Link::Live(conn, asked);
                let session = self.session.as_mut().unwrap();
                session.acknowledged(*ack);
                return session.unacked.iter().map(|sent| sent.text(None)).collect();
            }
            (ServerFrame::Resync(state), Link::Asked(conn, Some(_))) => {
                self.link = Link::Live(conn, seq.unwrap());
                let session = self.session.as_mut().unwrap();
                assert!(seq.unwrap() > session.seq, "numbers go on");
                session.acknowledged(state.ack);
                session.seq = seq.unwrap();
                session.start_over(state);
                return session.unacked.iter().map(|sent| sent.text(None)).collect();
            }
            (ServerFrame::Error(error), Link::Asked(conn, _)) => return self.refused(conn, error),
            _ => {}
        }
        let Link::Live(_, last) = &mut self.link else { panic!("{text} before an answer") };
        let session = self.session.as_mut().expect("seated");
        // That of a welcome or resync that comes again is an old one.
        let is_old = matches!(frame, ServerFrame::Welcome(_) | ServerFrame::Resync(_));
        if let Some(ack) = ack.filter(|_| !is_old) {
            session.acknowledged(ack);
        }
        if let Some(seq) = seq {
            assert_eq!(seq, *last + 1, "{text}");
            *last = seq;
            if seq <= session.seq {
                return Vec::new();
            }
            assert_eq!(seq, session.seq + 1, "{text}");
            session.seq = seq;
        }
        session.read(seq.is_some(), &frame);
        session.settled = session.settled.max(ack.filter(|_| !is_old).unwrap_or(0));
        Vec::new()
    }

    /// Reads the answer to what it sent on a connection of its own.
    pub(crate) fn read_answer(&mut self, peer: &str, ack: u64) {
        if let Some(session) = self.session.as_mut().filter(|session| session.peer == peer) {
            session.acknowledged(ack);
        }
    }

    fn refused(&mut self, conn: u64, error: &ErrorFrame<'_>) -> Vec<String> {
        match error.code {
            ErrorCode::NoSuchSession => {
                self.give_up();
                vec![self.open(conn, Forgets::Nothing)]
            }
            ErrorCode::RoomFull | ErrorCode::ServerFull => {
                assert!(error.retry && self.session.is_none());
                self.link = Link::None;
                Vec::new()
            }
            ErrorCode::BadFrame
            | ErrorCode::BinaryFrame
            | ErrorCode::UnknownType
            | ErrorCode::MissingField
            | ErrorCode::BadRoom
            | ErrorCode::BadMetadata
            | ErrorCode::HelloFirst
            | ErrorCode::AlreadyJoined
            | ErrorCode::NoSuchPeer
            | ErrorCode::OutOfOrder
            | ErrorCode::Undelivered
            | ErrorCode::Busy
            | ErrorCode::RateLimited
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::AuthUnavailable
            | ErrorCode::PeerTaken
            | ErrorCode::NoSuchRoom
            | ErrorCode::RoomTaken
            | ErrorCode::RoomSealed
            | ErrorCode::WrongPassword
            | ErrorCode::Banned
            | ErrorCode::NotHost
            | ErrorCode::OldTerm
            | ErrorCode::Conflict
            | ErrorCode::BadRules
            | ErrorCode::BadTicket
            | ErrorCode::NoSuchTicket
            | ErrorCode::Unknown => panic!("{error:?} though it is correct"),
        }
    }
}

/// What a client has lost of its memory when it resumes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forgets {
    Nothing,
    Last(u64),
    WhoItIs,
}

impl Session {
    fn new(welcome: &Welcome<'_>) -> Self {
        let mut session = Self {
            name: welcome.session.to_string(),
            key: welcome.key.to_string(),
            peer: welcome.peer.to_string(),
            seq: 1,
            acked: 0,
            last_id: 0,
            unacked: VecDeque::new(),
            roster: Vec::new(),
            gone: HashSet::new(),
            sent: Vec::new(),
            received: Vec::new(),
            errors: BTreeMap::new(),
            settled: 0,
            resyncs: 0,
        };
        welcome.members.iter().for_each(|member| session.meet(member));
        session
    }

    fn start_over(&mut self, state: &Welcome<'_>) {
        assert_eq!((&*state.peer, &*state.session), (&*self.peer, &*self.name));
        assert_eq!(state.key, self.key);
        self.resyncs += 1;
        self.roster.clear();
        state.members.iter().for_each(|member| self.meet(member));
    }

    /// All requests up to this one were carried out.
    fn acknowledged(&mut self, ack: u64) {
        assert!(ack <= self.last_id, "{ack} of {}", self.last_id);
        while self.unacked.front().is_some_and(|sent| sent.id <= Some(ack)) {
            self.unacked.pop_front();
        }
    }

    fn read(&mut self, is_numbered: bool, frame: &ServerFrame<'_>) {
        match frame {
            ServerFrame::Joined(member) => self.meet(member),
            ServerFrame::Away { peer } => self.set_away(peer, true),
            ServerFrame::Back { peer } => self.set_away(peer, false),
            ServerFrame::Left { peer, .. } => {
                let index = self.roster.iter().position(|known| known.peer == *peer);
                self.roster.remove(index.expect("only who was there leaves"));
                self.gone.insert(peer.to_string());
            }
            ServerFrame::Presence { changes } => {
                assert!(changes.len() > 1, "one comes as it is");
                changes.iter().for_each(|change| self.read(is_numbered, change));
            }
            ServerFrame::Signal { from, data } => {
                let is_there = self.roster.iter().any(|known| known.peer == *from);
                assert!(is_there, "{from} was announced, and isn't gone");
                self.received.push((from.to_string(), data.get().parse().unwrap()));
            }
            ServerFrame::Error(ErrorFrame { code, id, .. }) if is_numbered => {
                assert!(code.is_nobodys_fault(), "{code}");
                let id = id.expect("it answers a numbered request");
                let is_late = *code == ErrorCode::NoSuchPeer && id <= self.settled;
                assert!(!is_late, "{id} is refused behind the acknowledgement of {}", self.settled);
                let twice = self.errors.insert(id, *code);
                assert!(twice.is_none(), "{id} failed twice: {twice:?} {code:?}");
            }
            ServerFrame::Error(error) => assert_eq!(error.code, ErrorCode::NoSuchPeer),
            ServerFrame::Ack { ack } => self.acknowledged(*ack),
            ServerFrame::Ice(update) => assert_eq!(update.ice_servers.len(), 2),
            // It got lost on another connection.
            ServerFrame::Resync(state) => self.start_over(state),
            ServerFrame::Metadata { .. }
            | ServerFrame::Host { .. }
            | ServerFrame::Broadcast { .. }
            | ServerFrame::State { .. }
            | ServerFrame::Rules(_)
            | ServerFrame::Welcome(_)
            | ServerFrame::Resumed { .. }
            | ServerFrame::Pong { .. }
            | ServerFrame::Diagnosis(_)
            | ServerFrame::Close { .. }
            | ServerFrame::Token { .. }
            | ServerFrame::Goaway { .. }
            | ServerFrame::Waiting { .. }
            | ServerFrame::Matched { .. }
            | ServerFrame::Expired { .. }
            | ServerFrame::Unknown => panic!("not now: {frame:?}"),
        }
    }

    fn meet(&mut self, member: &Member<'_>) {
        let known = Known::of(member);
        assert!(known.peer != self.peer, "nobody is told of itself");
        assert!(!self.gone.contains(&known.peer), "nobody has an id again");
        assert!(self.roster.iter().all(|other| other.peer != known.peer), "announced once");
        self.roster.push(known);
    }

    fn set_away(&mut self, peer: &str, away: bool) {
        let known = self.roster.iter_mut().find(|known| known.peer == peer).expect("is there");
        assert_ne!(known.away, away, "{peer}: told twice");
        known.away = away;
    }
}

impl Sent {
    pub(crate) fn text(&self, ack: Option<u64>) -> String {
        let data = crate::support::raw(&self.payload.to_string());
        encode(self.id, ack, ClientFrame::Signal { to: self.to.as_str().into(), data: &data })
    }
}

fn encode(id: Option<u64>, ack: Option<u64>, frame: ClientFrame<'_>) -> String {
    ClientMessage { id, ack, frame }.encode()
}
