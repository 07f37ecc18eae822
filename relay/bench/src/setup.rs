//! Makes the clients of a run: links, allocations, permissions, channels.

use crate::link::{Link, Transport};
use crate::site::Site;
use crate::subject::Subject;
use crate::turn::{Language, REQUEST_BYTES_MAX, Session, Step};
use anyhow::{Context as _, bail};
use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

/// A client and what it knows of its allocation.
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) session: Session,
}

/// How many clients wait for answers at the same time.
const GROUP: usize = 32;

/// When a request is sent again over UDP, and how often.
const RETRANSMIT: Duration = Duration::from_millis(200);
const TRIES: usize = 10;

/// Makes `count` clients with an allocation each.
pub(crate) fn allocate(
    subject: &Subject,
    site: &Site,
    count: usize,
) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let begin = clients.len();
        for _ in 0..GROUP.min(count - begin) {
            clients.push(connect(subject, site)?);
        }
        all(&mut clients[begin..], subject.language, |_| Step::Challenge)?;
        all(&mut clients[begin..], subject.language, |_| Step::Allocate)?;
    }
    Ok(clients)
}

fn connect(subject: &Subject, site: &Site) -> anyhow::Result<Client> {
    let link = match subject.transport {
        Transport::Udp => Link::udp(site.own, subject.address)?,
        Transport::Tcp | Transport::Tls => Link::stream(subject.address, subject.tls())?,
    };
    link.set_patience(Some(RETRANSMIT))?;
    Ok(Client { link, session: Session::default() })
}

/// Gives each client a permission for and a channel to the peer that `peer` says.
pub(crate) fn bind(
    clients: &mut [Client],
    language: Language,
    peer: impl Fn(usize) -> SocketAddrV4,
) -> anyhow::Result<()> {
    for (number, group) in clients.chunks_mut(GROUP).enumerate() {
        let peer = |place: usize| peer(number * GROUP + place);
        all(group, language, |place| Step::Permit(peer(place)))?;
        all(group, language, |place| Step::Bind(peer(place)))?;
    }
    Ok(())
}

/// Ends all allocations.
pub(crate) fn release(clients: &mut [Client], language: Language) -> anyhow::Result<()> {
    clients.chunks_mut(GROUP).try_for_each(|group| all(group, language, |_| Step::Release))
}

/// Has each of a group take one step.
fn all(
    group: &mut [Client],
    language: Language,
    step: impl Fn(usize) -> Step,
) -> anyhow::Result<()> {
    let mut waiting = Vec::with_capacity(group.len());
    for (place, client) in group.iter_mut().enumerate() {
        if client.send(language, step(place))? {
            waiting.push(place);
        }
    }
    for place in waiting {
        group[place].wait(language, step(place))?;
    }
    Ok(())
}

impl Client {
    /// Whether there was something to ask for.
    fn send(&mut self, language: Language, step: Step) -> anyhow::Result<bool> {
        let mut buffer = [0; REQUEST_BYTES_MAX];
        let request = self.session.request(language, step, &mut buffer);
        if let Some(request) = request {
            self.link.send(request).context("cannot send to the server")?;
        }
        Ok(request.is_some())
    }

    /// Waits for the answer, and asks again if it doesn't come.
    fn wait(&mut self, language: Language, step: Step) -> anyhow::Result<()> {
        let mut bytes = [0; 2048];
        for _ in 0..TRIES {
            match self.link.receive_one(&mut bytes) {
                Ok(length) => {
                    if self.session.handle(language, step, &bytes[..length])? {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.link {
                    Link::Udp(_) => drop(self.send(language, step)?),
                    Link::Stream(_) => {}
                },
                Err(error) => return Err(error).context("the server can't be reached"),
            }
        }
        bail!("the server doesn't answer {step:?}")
    }
}
