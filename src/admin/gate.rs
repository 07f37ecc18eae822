//! Who gets in: whoever shows the token. Addresses that show wrong ones have to wait.

use super::answer::Refusal;
use super::config::Limits;
use heliograph_base::{Secret, Time};
use signal_server::Bucket;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq as _;

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Gate {
    token: Secret,
    limits: Limits,
    attempts: Mutex<Attempts>,
}

/// Wrong tokens of late, by address.
#[derive(Debug, Default)]
struct Attempts {
    known: HashMap<IpAddr, Bucket>,
    /// Of all addresses for which there is no room.
    others: Bucket,
}

impl Gate {
    pub(super) fn new(token: Secret, limits: Limits) -> Self {
        Self { token, limits, attempts: Mutex::default() }
    }

    /// Lets who shows the token pass. The comparison takes as long for a wrong one as for the right
    /// one.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`], and [`Refusal::TooManyAttempts`] whatever the token if the
    /// address has shown too many wrong ones.
    pub(super) fn check(
        &self,
        now: Time,
        address: IpAddr,
        shown: Option<&str>,
    ) -> Result<(), Refusal> {
        // Who shows none doesn't guess.
        let shown = shown.ok_or(Refusal::Unauthorized)?;
        let Limits { wrong_tokens_per_s, wrong_tokens_burst, addresses_max, .. } = self.limits;
        let rate = (wrong_tokens_per_s, wrong_tokens_burst);
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = attempts.bucket(now, prefix(address), addresses_max);
        let mut after = *bucket;
        if let Err(retry_after) = after.try_take(now, 1, rate) {
            return Err(Refusal::TooManyAttempts { retry_after });
        }
        if bool::from(self.token.bytes().ct_eq(shown.as_bytes())) {
            return Ok(());
        }
        *bucket = after;
        Err(Refusal::Unauthorized)
    }
}

impl Attempts {
    fn bucket(&mut self, now: Time, address: IpAddr, most: usize) -> &mut Bucket {
        if self.known.len() >= most {
            self.known.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.known.len() >= most && !self.known.contains_key(&address) {
            return &mut self.others;
        }
        self.known.entry(address).or_default()
    }
}

/// An IPv4 address, or the /64 of an IPv6 address.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TOKEN: &str = "0123456789abcdef";

    fn gate(limits: Limits) -> Gate {
        Gate::new(Secret::from_text(TOKEN).unwrap(), limits)
    }

    fn at(s: u64) -> Time {
        Time::after_start(Duration::from_secs(s))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn status(outcome: Result<(), Refusal>) -> u16 {
        match outcome {
            Ok(()) => 200,
            Err(Refusal::Unauthorized) => 401,
            Err(Refusal::TooManyAttempts { .. }) => 429,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        let gate = gate(Limits::default());
        let ask = |shown: Option<&str>| status(gate.check(at(0), ip("192.0.2.1"), shown));
        assert_eq!(ask(Some(TOKEN)), 200);
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert_eq!(ask(Some(wrong)), 401, "{wrong}");
        }
        for _ in 0..100 {
            assert_eq!(ask(None), 401, "who shows none doesn't guess");
        }
        assert_eq!(ask(Some(TOKEN)), 200);
    }

    #[test]
    fn who_guesses_has_to_wait_and_others_do_not() {
        let gate = gate(Limits::default());
        let ask =
            |s: u64, from: &str, shown: &str| status(gate.check(at(s), ip(from), Some(shown)));
        for _ in 0..10 {
            assert_eq!(ask(0, "2001:db8::1", "wrong"), 401);
        }
        assert_eq!(ask(0, "2001:db8::2", "wrong"), 429, "the same /64");
        assert_eq!(ask(0, "2001:db8::1", TOKEN), 429, "even with the right one");
        assert_eq!(ask(0, "2001:db8:0:1::1", TOKEN), 200, "somebody else");
        assert_eq!(ask(1, "2001:db8::1", TOKEN), 200);
        assert_eq!(ask(1, "2001:db8::1", "wrong"), 401, "the right one has cost nothing");
        assert_eq!(ask(1, "2001:db8::1", "wrong"), 429);
    }

    #[test]
    fn no_more_addresses_are_counted_than_the_limit_says() {
        let gate = gate(Limits { addresses_max: 3, ..Limits::default() });
        let ask = |s: u64, last: u8, shown: &str| {
            status(gate.check(at(s), IpAddr::from([192, 0, 2, last]), Some(shown)))
        };
        for last in 0..13 {
            assert_eq!(ask(0, last, "wrong"), 401);
        }
        assert_eq!(gate.attempts.lock().unwrap().known.len(), 3);
        assert_eq!(ask(0, 99, TOKEN), 429, "all others together have guessed too often");
        assert_eq!(ask(0, 1, TOKEN), 200, "who is counted alone hasn't");
        assert_eq!(ask(1, 99, TOKEN), 200);
        assert_eq!(gate.attempts.lock().unwrap().known.len(), 1, "idle ones are forgotten");
    }
}
