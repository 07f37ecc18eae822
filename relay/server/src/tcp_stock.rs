//! One worker's stock of TCP relay ports: bound, not yet listening, waiting for allocations.

use crate::config::Limits;
use crate::ledger::Ledger;
use crate::ports::{Opened, RefillError, RelayIp};
use crate::socket;
use heliograph_base::Time;
use rand::rngs::StdRng;
use relay_core::PortId;
use socket2::Socket;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// TCP ports have a [`Ledger`] of their own: their numbers are none of UDP's business.
#[derive(Debug)]
pub(crate) struct TcpStock {
    ips: Vec<RelayIp>,
    /// How many are kept for each address.
    wanted: usize,
    ledger: Arc<Ledger>,
    random: StdRng,
    waiting: HashMap<PortId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ip: RelayIp,
    number: u16,
    socket: Socket,
}

/// A port that an allocation took.
#[derive(Debug)]
pub(crate) struct TakenPort {
    pub(crate) socket: Socket,
    pub(crate) bound: SocketAddr,
    pub(crate) advertised: SocketAddr,
}

/// How many ports that other programs have are found out before opening one fails.
const FOREIGN_TRIES: usize = 32;

impl TcpStock {
    /// An empty one.
    pub(crate) fn new(
        ips: &[RelayIp],
        ledger: Arc<Ledger>,
        random: StdRng,
        limits: Limits,
    ) -> Self {
        let share = ledger.ports() / ips.len().max(1) / STOCK_SHARE;
        let wanted = limits.tcp_stock_ports.min(share).max(1);
        Self { ips: ips.to_vec(), wanted, ledger, random, waiting: HashMap::new() }
    }

    /// Fills it as far as it goes: `new_id` names a port, `opened` gets it.
    ///
    /// # Errors
    /// As [`Ports::refill`](crate::ports::Ports::refill).
    pub(crate) fn refill(
        &mut self,
        now: Time,
        mut new_id: impl FnMut() -> PortId,
        mut opened: impl FnMut(Opened),
    ) -> Result<(), RefillError> {
        let mut outcome = Ok(());
        for ip in self.ips.clone() {
            while self.count(ip) < self.wanted {
                match self.open(ip, now) {
                    Ok((number, socket)) => {
                        let id = new_id();
                        self.waiting.insert(id, Waiting { ip, number, socket });
                        let bound = SocketAddr::new(ip.bound, number);
                        let advertised = SocketAddr::new(ip.advertised, number);
                        opened(Opened { id, bound, advertised });
                    }
                    Err(error) => {
                        outcome = Err(RefillError { ip: ip.bound, error });
                        break;
                    }
                }
            }
        }
        outcome
    }

    /// Whether there is none left on an address.
    pub(crate) fn is_sold_out(&self) -> bool {
        self.ips.iter().any(|ip| self.count(*ip) == 0)
    }

    /// Takes a port out, if it is one of these.
    pub(crate) fn take(&mut self, id: PortId) -> Option<TakenPort> {
        let Waiting { ip, number, socket } = self.waiting.remove(&id)?;
        let bound = SocketAddr::new(ip.bound, number);
        Some(TakenPort { socket, bound, advertised: SocketAddr::new(ip.advertised, number) })
    }

    /// Lets the number of a closed port rest.
    pub(crate) fn rest(&self, advertised: SocketAddr, now: Time) {
        self.ledger.rest(advertised.ip(), advertised.port(), now);
    }

    fn count(&self, ip: RelayIp) -> usize {
        self.waiting.values().filter(|waiting| waiting.ip == ip).count()
    }

    fn open(&mut self, ip: RelayIp, now: Time) -> io::Result<(u16, Socket)> {
        for _ in 0..FOREIGN_TRIES {
            let Some(number) = self.ledger.take(ip.advertised, now, &mut self.random) else {
                break;
            };
            match socket::tcp_port(SocketAddr::new(ip.bound, number)) {
                Ok(socket) => return Ok((number, socket)),
                // Another program has it: look again after the rest.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    self.ledger.rest(ip.advertised, number, now);
                }
                Err(error) => {
                    self.ledger.give_back(ip.advertised, number);
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// The stock holds at most one part in this many of an address's ports.
const STOCK_SHARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    #[test]
    fn a_taken_port_is_replaced_and_another_one_listens_nowhere() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ledger = Arc::new(Ledger::new([ip], 20_000..=29_999, Duration::from_secs(120)));
        let ip = RelayIp { bound: ip, advertised: ip };
        let random = StdRng::seed_from_u64(1);
        let mut stock = TcpStock::new(&[ip], ledger, random, Limits::default());
        let mut opened = Vec::new();
        let mut ids = (0..).map(PortId);
        let mut refill = |stock: &mut TcpStock, opened: &mut Vec<Opened>| {
            stock.refill(Time::START, || ids.next().unwrap(), |port| opened.push(port)).unwrap();
        };
        refill(&mut stock, &mut opened);
        assert_eq!(opened.len(), Limits::default().tcp_stock_ports);
        let taken = stock.take(opened[0].id).unwrap();
        assert_eq!(taken.bound, opened[0].bound);
        assert!(stock.take(opened[0].id).is_none() && !stock.is_sold_out());
        assert!(std::net::TcpStream::connect(taken.bound).is_err());
        refill(&mut stock, &mut opened);
        assert_eq!(opened.len(), Limits::default().tcp_stock_ports + 1);
    }
}
