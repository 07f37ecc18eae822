//! What a client tells the server about its links, and what the server makes of it.
//!
//! Neither is numbered: a report that is lost is replaced by the next one, and who asked for a
//! diagnosis asks again.

use crate::PeerId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `id`s of what isn't numbered, so that they can't be mistaken: beyond all that are.
pub(super) const FREE_IDS: u64 = 1 << 52;

/// Why two peers are connected as they are, or aren't.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Diagnosis {
    /// A word for programs, such as `connected_relayed` or `turn_expired` (docs/protocol.md).
    pub verdict: String,
    /// Where the fault lies: `yours`, `theirs`, `both`; without it: nowhere.
    #[serde(default)]
    pub side: Option<String>,
    /// One plain sentence.
    pub text: String,
    /// What to do.
    #[serde(default)]
    pub advice: String,
}

/// The frame of a diagnosis.
#[derive(Deserialize)]
pub(super) struct DiagnosisFrame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    pub(super) id: Option<u64>,
    #[serde(flatten)]
    pub(super) diagnosis: Diagnosis,
}

impl<'a> DiagnosisFrame<'a> {
    /// Reads a frame, if it is one.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|frame: &Self| frame.kind == "diagnosis")
    }
}

/// Frames that a client sends without a number.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Telling<'a> {
    Report { peer: &'a str, link: &'a RawValue },
    Diagnose { peer: &'a str, id: u64 },
}

impl<'a> Telling<'a> {
    pub(super) fn report(peer: &'a PeerId, link: &'a RawValue) -> Self {
        Self::Report { peer: peer.as_str(), link }
    }

    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).expect("strings and raw values have a JSON form")
    }
}
