//! One worker's relay ports: the stock that waits for allocations, and those that allocations have.

use crate::config::Limits;
use crate::ledger::Ledger;
use crate::socket;
use heliograph_base::Time;
use rand::rngs::StdRng;
use relay_core::PortId;
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
    ledger: Arc<Ledger>,
    random: StdRng,
    limits: Limits,
}

#[derive(Debug)]
struct Port {
    socket: UdpSocket,
    stock: usize,
    number: u16,
}

#[derive(Debug)]
struct Stock {
    ip: RelayIp,
    ports: usize,
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

impl Ports {
    /// No open ports yet. `stock_ports` is how many are kept in stock for each of `ips`.
    pub(crate) fn new(
        ips: &[RelayIp],
        stock_ports: usize,
        ledger: Arc<Ledger>,
        random: StdRng,
        limits: Limits,
    ) -> Self {
        let stocks = ips.iter().map(|ip| Stock { ip: *ip, ports: 0 }).collect();
        Self { open: Vec::new(), free: Vec::new(), stocks, stock_ports, ledger, random, limits }
    }

    /// Fills every stock as far as it goes, and gives each port opened to `opened`.
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
            while self.stocks[stock].ports < self.stock_ports {
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
        self.stocks.iter().any(|stock| stock.ports == 0)
    }

    /// Takes note that an allocation took the port from its stock.
    pub(crate) fn take(&mut self, id: PortId) -> Option<&UdpSocket> {
        let port = self.open.get(id.0 as usize)?.as_ref()?;
        self.stocks[port.stock].ports -= 1;
        Some(&port.socket)
    }

    /// Closes a taken port, whose number on its address then rests.
    pub(crate) fn close(&mut self, id: PortId, now: Time) {
        let Some(port) = self.open.get_mut(id.0 as usize).and_then(Option::take) else {
            return;
        };
        drop(port.socket);
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
            let bound = SocketAddr::new(ip.bound, number);
            match socket::port(bound, &self.limits) {
                Ok(socket) => {
                    self.stocks[stock].ports += 1;
                    let id = self.put(Port { socket, stock, number });
                    let advertised = SocketAddr::new(ip.advertised, number);
                    return Ok(Opened { id, bound, advertised });
                }
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

    fn put(&mut self, port: Port) -> PortId {
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
        Ports::new(&[ip], stock_ports, ledger, StdRng::seed_from_u64(1), Limits::default())
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
