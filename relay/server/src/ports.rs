//! One worker's relay ports: the stock that waits for allocations, and those that allocations have.

use crate::config::Limits;
use crate::ledger::Ledger;
use crate::shelf::Shelf;
use crate::socket;
use heliograph_base::Time;
use rand::rngs::StdRng;
use relay_core::{PortId, ReservationToken};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// An address on which relay ports are bound, and what clients are told instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelayIp {
    pub(crate) bound: IpAddr,
    pub(crate) advertised: IpAddr,
}

/// One worker's open relay ports by number, of which some are in stock.
#[derive(Debug)]
pub(crate) struct Ports {
    open: Vec<Option<Port>>,
    free: Vec<u32>,
    stocks: Vec<Stock>,
    stock_ports: usize,
    stock_pairs: usize,
    ledger: Arc<Ledger>,
    shelf: Arc<Shelf>,
    random: StdRng,
    limits: Limits,
}

/// A bound port, of the stock that has this place in every worker.
#[derive(Debug)]
pub(crate) struct Port {
    socket: UdpSocket,
    stock: usize,
    number: u16,
}

#[derive(Debug)]
struct Stock {
    ip: RelayIp,
    /// The numbers of its ports.
    ports: Vec<u16>,
    /// How many pairs are among them: an even number and the next.
    pairs: usize,
    /// When to look for pairs again, after none was found.
    pairs_after: Option<Time>,
}

impl Stock {
    fn add(&mut self, number: u16) {
        self.ports.push(number);
        self.count_pairs();
    }

    fn remove(&mut self, number: u16) {
        self.ports.retain(|port| *port != number);
        self.count_pairs();
    }

    fn count_pairs(&mut self) {
        let is_pair = |even: &&u16| even.is_multiple_of(2) && self.ports.contains(&(*even + 1));
        self.pairs = self.ports.iter().filter(is_pair).count();
    }
}

/// A freshly bound port for the core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) id: PortId,
    pub(crate) bound: SocketAddr,
    pub(crate) advertised: SocketAddr,
}

/// How many ports that other programs have are found out before opening one fails.
const FOREIGN_TRIES: usize = 32;

/// How many pairs of which another program has one are found out before opening one is put off.
const PAIR_TRIES: usize = 4;

impl Ports {
    /// No open ports yet. `stock_ports` is how many are kept in stock for each of `ips`, and with
    /// two or more some of them are pairs.
    pub(crate) fn new(
        ips: &[RelayIp],
        stock_ports: usize,
        ledger: Arc<Ledger>,
        shelf: Arc<Shelf>,
        random: StdRng,
        limits: Limits,
    ) -> Self {
        let stock = |ip: &RelayIp| {
            let ports = Vec::with_capacity(stock_ports);
            Stock { ip: *ip, ports, pairs: 0, pairs_after: None }
        };
        Self {
            open: Vec::new(),
            free: Vec::new(),
            stocks: ips.iter().map(stock).collect(),
            stock_ports,
            stock_pairs: limits.stock_pairs.min(stock_ports / 2),
            ledger,
            shelf,
            random,
            limits,
        }
    }

    /// Fills every stock as far as it goes, and gives each port opened to `opened`. No error if
    /// there are no pairs.
    ///
    /// # Errors
    /// What opening one said; `AddrInUse` if there is none to be had. Those opened before stay
    /// open.
    pub(crate) fn refill(
        &mut self,
        now: Time,
        mut opened: impl FnMut(Opened),
    ) -> Result<(), RefillError> {
        let mut outcome = Ok(());
        for stock in 0..self.stocks.len() {
            self.refill_pairs(stock, now, &mut opened);
            while self.stocks[stock].ports.len() < self.stock_ports {
                match self.open(stock, now) {
                    Ok(port) => opened(port),
                    Err(error) => {
                        outcome = Err(RefillError { ip: self.stocks[stock].ip.bound, error });
                        break;
                    }
                }
            }
        }
        outcome
    }

    /// Whether a stock is used up.
    pub(crate) fn is_sold_out(&self) -> bool {
        self.stocks.iter().any(|stock| stock.ports.is_empty())
    }

    /// Whether a stock has no pair, and should.
    pub(crate) fn is_out_of_pairs(&self) -> bool {
        self.stock_pairs > 0 && self.stocks.iter().any(|stock| stock.pairs == 0)
    }

    /// Takes note that an allocation took the port from its stock.
    pub(crate) fn take(&mut self, id: PortId) -> Option<&UdpSocket> {
        let port = self.open.get(id.0 as usize)?.as_ref()?;
        self.stocks[port.stock].remove(port.number);
        Some(&port.socket)
    }

    /// Lays a port of the stock on the shelf.
    pub(crate) fn reserve(&mut self, id: PortId, token: ReservationToken) {
        let Some(port) = self.open.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        self.stocks[port.stock].remove(port.number);
        self.free.push(id.0);
        self.shelf.put(token, port);
    }

    /// Puts what is on the shelf in the place of a port of the stock, which is closed; `false` if
    /// there is nothing.
    pub(crate) fn adopt(&mut self, id: PortId, token: ReservationToken) -> bool {
        let place = self.open.get_mut(id.0 as usize).and_then(Option::as_mut);
        let Some((place, port)) = place.zip(self.shelf.take(token)) else {
            return false;
        };
        self.stocks[port.stock].add(port.number);
        let spare = std::mem::replace(place, port);
        self.stocks[spare.stock].remove(spare.number);
        drop(spare.socket);
        self.ledger.give_back(self.stocks[spare.stock].ip.advertised, spare.number);
        true
    }

    /// Closes what is on the shelf; `false` if there is nothing.
    pub(crate) fn close_reserved(&self, token: ReservationToken, now: Time) -> bool {
        let Some(port) = self.shelf.take(token) else {
            return false;
        };
        drop(port.socket);
        self.ledger.rest(self.stocks[port.stock].ip.advertised, port.number, now);
        true
    }

    /// Closes a port, whose number on its address then rests.
    pub(crate) fn close(&mut self, id: PortId, now: Time) {
        let Some(port) = self.open.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        drop(port.socket);
        self.stocks[port.stock].remove(port.number);
        self.ledger.rest(self.stocks[port.stock].ip.advertised, port.number, now);
        self.free.push(id.0);
    }

    pub(crate) fn socket(&self, id: PortId) -> Option<&UdpSocket> {
        self.open.get(id.0 as usize)?.as_ref().map(|port| &port.socket)
    }

    fn open(&mut self, stock: usize, now: Time) -> io::Result<Opened> {
        let ip = self.stocks[stock].ip;
        for _ in 0..FOREIGN_TRIES {
            let Some(number) = self.ledger.take(ip.advertised, now, &mut self.random) else {
                break;
            };
            match self.bind(stock, number, now) {
                Ok(port) => return Ok(self.put(port)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Opens pairs until there are enough. If that fails, it is tried again after a while: an
    /// Allocate that wants none doesn't depend on it.
    fn refill_pairs(&mut self, stock: usize, now: Time, opened: &mut impl FnMut(Opened)) {
        if self.stocks[stock].pairs_after.is_some_and(|due| now < due) {
            return;
        }
        while self.stocks[stock].pairs < self.stock_pairs {
            let Some(pair) = self.open_pair(stock, now) else {
                self.stocks[stock].pairs_after = Some(now + self.limits.port_retry);
                return;
            };
            pair.into_iter().for_each(&mut *opened);
        }
    }

    fn open_pair(&mut self, stock: usize, now: Time) -> Option<[Opened; 2]> {
        let ip = self.stocks[stock].ip;
        for _ in 0..PAIR_TRIES {
            let number = self.ledger.take_pair(ip.advertised, now, &mut self.random)?;
            let Ok(even) = self.bind(stock, number, now) else {
                self.ledger.give_back(ip.advertised, number + 1);
                continue;
            };
            match self.bind(stock, number + 1, now) {
                Ok(odd) => return Some([even, odd].map(|port| self.put(port))),
                Err(_) => self.ledger.give_back(ip.advertised, number),
            }
        }
        None
    }

    /// Binds a port that was taken from the ledger; on failure it goes back there.
    fn bind(&self, stock: usize, number: u16, now: Time) -> io::Result<Port> {
        let ip = self.stocks[stock].ip;
        match socket::port(SocketAddr::new(ip.bound, number), &self.limits) {
            Ok(socket) => Ok(Port { socket, stock, number }),
            // Another program has it: look again after the rest.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                self.ledger.rest(ip.advertised, number, now);
                Err(error)
            }
            Err(error) => {
                self.ledger.give_back(ip.advertised, number);
                Err(error)
            }
        }
    }

    /// Puts a bound port into its stock.
    fn put(&mut self, port: Port) -> Opened {
        let (ip, number) = (self.stocks[port.stock].ip, port.number);
        self.stocks[port.stock].add(number);
        let id = self.place(port);
        let bound = SocketAddr::new(ip.bound, number);
        Opened { id, bound, advertised: SocketAddr::new(ip.advertised, number) }
    }

    /// A number for a port that is kept elsewhere.
    pub(crate) fn lend_id(&mut self) -> PortId {
        PortId(self.free.pop().unwrap_or_else(|| {
            self.open.push(None);
            self.open.len() as u32 - 1
        }))
    }

    /// Takes back a number that was lent.
    pub(crate) fn give_back_id(&mut self, id: PortId) {
        self.free.push(id.0);
    }

    fn place(&mut self, port: Port) -> PortId {
        if let Some(id) = self.free.pop() {
            self.open[id as usize] = Some(port);
            return PortId(id);
        }
        self.open.push(Some(port));
        PortId(self.open.len() as u32 - 1)
    }
}

/// Why a stock could not be filled.
#[derive(Debug)]
pub(crate) struct RefillError {
    pub(crate) ip: IpAddr,
    pub(crate) error: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::HashSet;
    use std::time::Duration;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn ports(range: std::ops::RangeInclusive<u16>, stock_ports: usize) -> Ports {
        let ledger = Arc::new(Ledger::new([IP], range, Duration::from_secs(120)));
        let ip = RelayIp { bound: IP, advertised: IP };
        let (shelf, random) = (Arc::new(Shelf::default()), StdRng::seed_from_u64(1));
        Ports::new(&[ip], stock_ports, ledger, shelf, random, Limits::default())
    }

    fn refill(ports: &mut Ports) -> Vec<Opened> {
        let mut opened = Vec::new();
        ports.refill(Time::START, |port| opened.push(port)).unwrap();
        opened
    }

    #[test]
    fn a_taken_port_is_replaced_and_its_number_is_used_again_after_it_closed() {
        let mut ports = ports(20_000..=29_999, 2);
        let stock = refill(&mut ports);
        assert_eq!(stock.len(), 2);
        assert!(refill(&mut ports).is_empty());

        let bound = ports.take(stock[0].id).unwrap().local_addr().unwrap();
        assert_eq!(bound, stock[0].bound);
        assert!(!ports.is_sold_out());
        ports.take(stock[1].id);
        assert!(ports.is_sold_out());
        let replaced = refill(&mut ports);
        let ids: HashSet<_> = stock.iter().chain(&replaced).map(|port| port.id).collect();
        assert_eq!(ids.len(), 4);

        ports.close(stock[0].id, Time::START);
        assert!(ports.socket(stock[0].id).is_none());
        ports.take(replaced[0].id);
        assert_eq!(refill(&mut ports)[0].id, stock[0].id);
    }

    #[test]
    fn a_port_of_another_program_is_passed_over() {
        let foreign = UdpSocket::bind((IP, 0)).unwrap();
        let port = foreign.local_addr().unwrap().port();
        let mut full = ports(port..=port, 1);
        let error = full.refill(Time::START, |_| {}).unwrap_err();
        assert_eq!((error.ip, error.error.kind()), (IP, io::ErrorKind::AddrInUse));
        drop(foreign);
        assert_eq!(refill(&mut full)[0].bound.port(), port);
    }
}
