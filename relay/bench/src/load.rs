//! Packets through a server's channels: saturated, paced, or both at once.

use crate::measure::Load;
use crate::pace::Pacer;
use crate::packet::FlowId;
use crate::saturate::Saturator;
use crate::traffic::{Tally, Traffic};

/// Some clients send as much as goes, others at a given rate.
pub(crate) struct Packets {
    pub(crate) traffic: Traffic,
    pub(crate) saturator: Option<Saturator>,
    pub(crate) pacer: Option<Pacer>,
    arrived: Vec<FlowId>,
}

impl Packets {
    pub(crate) fn saturated(traffic: Traffic, saturator: Saturator) -> Self {
        Self { traffic, saturator: Some(saturator), pacer: None, arrived: Vec::new() }
    }

    pub(crate) fn paced(traffic: Traffic, pacer: Pacer) -> Self {
        Self { traffic, saturator: None, pacer: Some(pacer), arrived: Vec::new() }
    }
}

impl Load for Packets {
    fn turn(&mut self) -> anyhow::Result<()> {
        // Who paces looks at the clock all the time: sleep is coarser than the gaps.
        let may_wait =
            self.pacer.is_none() && self.saturator.as_ref().is_some_and(Saturator::is_idle);
        self.arrived.clear();
        self.traffic.receive(i32::from(may_wait), &mut self.arrived)?;
        if let Some(pacer) = &mut self.pacer {
            pacer.turn(&mut self.traffic)?;
        }
        if let Some(saturator) = &mut self.saturator {
            saturator.turn(&mut self.traffic, &self.arrived)?;
        }
        Ok(())
    }

    fn drain(&mut self, timeout_ms: i32) -> anyhow::Result<()> {
        self.arrived.clear();
        self.traffic.receive(timeout_ms, &mut self.arrived)
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.traffic.tally
    }
}
