//! Whether this machine is in another network than before.

use super::addresses::usable_addresses;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often the interfaces are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The networks that this machine is in.
#[derive(Debug)]
pub(crate) struct Network {
    addresses: Vec<IpAddr>,
    next_look: Instant,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self { addresses: usable_addresses(), next_look: Instant::now() + LOOK_INTERVAL }
    }

    /// Waits until this machine has other addresses than before. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        loop {
            sleep_until(self.next_look).await;
            self.next_look = Instant::now() + LOOK_INTERVAL;
            let addresses = usable_addresses();
            // Without any there is nothing to do but to wait.
            if addresses != self.addresses && !addresses.is_empty() {
                self.addresses = addresses;
                return;
            }
        }
    }
}
