//! Time, revocation, and the end of a program: when all is over, all is there to be had again.

use super::{BOTH_FAMILIES, PAIR, Program, UDP, WORKERS, own_ip};
use crate::clients::{CLIENTS, STATIC, USERS, seat};
use crate::input::Input;
use crate::model::Cause;
use relay_core::Revoke;
use relay_core::wire::Method;
use std::time::Duration;

const WAITS_S: [u64; 16] =
    [0, 1, 30, 59, 60, 299, 300, 301, 599, 600, 601, 3600, 29, 31, 3599, 24 * 3600];

/// Longer than anything lives.
const FOREVER: Duration = Duration::from_secs(4000);

impl Program {
    pub(super) fn wait(&mut self, input: &mut Input<'_>) {
        self.world.wait(Duration::from_secs(input.choose(&WAITS_S)));
        if input.byte().is_multiple_of(2) {
            self.wake();
        }
        if input.byte() == 1 {
            self.client_gone(3);
        }
    }

    fn wake(&mut self) {
        for worker in 0..WORKERS.into() {
            self.world.timeout(worker);
        }
        self.note_time();
    }

    pub(super) fn note_time(&mut self) {
        let events = self.world.events();
        self.model.note(self.world.elapsed, Cause::Time, &events);
    }

    /// Takes credentials back, at every worker.
    pub(super) fn revoke(&mut self, choice: usize) {
        let user = USERS[choice % USERS.len()];
        let revoke = match (choice / USERS.len() % 4, seat(user)) {
            (0, Some(seat)) => {
                Revoke::Seat { room: seat.room.into(), peer: seat.peer.into(), seat: seat.seat }
            }
            (1, Some(seat)) => Revoke::Peer { room: seat.room.into(), peer: seat.peer.into() },
            (2, Some(seat)) => Revoke::Room(seat.room.into()),
            (_, Some(_)) | (_, None) => Revoke::User(user.into()),
        };
        for worker in 0..WORKERS.into() {
            let ended = self.world.revoke(worker, &revoke);
            let (now, events) = (self.world.elapsed, self.world.events());
            self.model.revoke(now, worker, &revoke);
            self.model.note(now, Cause::Revoked(&revoke), &events);
            self.model.revoked(worker, &revoke, ended);
        }
    }

    /// Ends all, and looks by `is_thorough` whether all is to be had again.
    pub(super) fn finish(mut self, is_thorough: bool) {
        self.world.check_sums();
        self.end_all();
        let is_refused = (0..WORKERS.into()).any(|worker| self.model.is_revoked(worker, STATIC[0]));
        if is_thorough && !is_refused {
            self.reserve_all();
            self.end_all();
            self.allocate_all();
            self.end_all();
        }
        self.world.check_sums();
    }

    /// Waits until nothing lives.
    fn end_all(&mut self) {
        self.world.wait(FOREVER);
        self.wake();
        self.model.check(&self.world);
        assert_eq!(self.model.live(), 0, "every lifetime is over");
        assert_eq!(self.model.connections(), [], "connections go with their allocations");
        assert_eq!(self.model.reservations(), 0, "nothing is kept for ever");
        assert!(self.world.is_shelf_empty(), "nothing is kept for ever");
        for address in &self.world.opened {
            assert_eq!(self.world.shared.owner(*address), None, "{address} has an owner");
        }
        for server in &self.world.servers {
            assert_eq!(server.poll_timeout(), None, "there is nothing to wait for");
        }
        self.nonces.clear();
    }

    /// As many pairs as a user may have are there to be had.
    fn reserve_all(&mut self) {
        for (who, worker) in [(0, 0), (6, 1)] {
            self.world.open_pair(worker, own_ip(0));
            let before = self.model.reservations();
            self.transactions += 1;
            self.request(who, Method::Allocate, &[UDP, PAIR], &mut Input::new(&[]));
            assert_eq!(self.model.reservations(), before + 1, "{:?}", CLIENTS[who]);
        }
    }

    /// As many allocations as a user and a source may have are there to be had, and no more.
    fn allocate_all(&mut self) {
        for (who, count) in [(0, 2), (3, 2), (12, 0), (5, 1), (2, 1), (6, 0)] {
            for worker in 0..WORKERS.into() {
                self.world.open_port(worker, own_ip(0), false);
                self.world.open_port(worker, own_ip(1), false);
            }
            let wanted = if count == 2 { &[UDP, BOTH_FAMILIES][..] } else { &[UDP] };
            let before = self.model.live();
            self.transactions += 1;
            self.request(who, Method::Allocate, wanted, &mut Input::new(&[]));
            assert_eq!(self.model.live(), before + count, "{:?}", CLIENTS[who]);
        }
    }
}
