//! The differences, each with its reason.

use super::client::Server;

/// An attribute that only one server sends.
pub(crate) struct Attribute {
    pub(crate) kind: u16,
    pub(crate) by: Server,
    pub(crate) why: &'static str,
}

/// A step of a script with two outcomes.
pub(crate) struct Outcome {
    pub(crate) script: &'static str,
    pub(crate) step: usize,
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) const ATTRIBUTES: &[Attribute] = &[
    Attribute {
        kind: 0x8022,
        by: Server::Theirs,
        why: "SOFTWARE: coturn tells it to everybody, the relay to authenticated clients",
    },
    Attribute {
        kind: 0x8002,
        by: Server::Ours,
        why: "PASSWORD-ALGORITHMS: coturn has not the security set of RFC 8489",
    },
    Attribute {
        kind: 0x8028,
        by: Server::Theirs,
        why: "FINGERPRINT: coturn adds it always, the relay if the request had one",
    },
];

const MAPPED: &str =
    "coturn adds MAPPED-ADDRESS and RESPONSE-ORIGIN, of use to clients of RFC 3489 and 5780";
const BUSY: &str =
    "after one wrong password coturn takes the 5-tuple for busy; RFC 8489 §9.2.4: 401";
const SIGNED: &str = "RFC 8489 §9.2.4: any response to an authenticated request is signed";

pub(crate) const OUTCOMES: &[Outcome] = &[
    Outcome {
        script: "binding",
        step: 0,
        ours: "Success 0x1 0020",
        theirs: "Success 0x1 0001 0020 802b",
        why: MAPPED,
    },
    Outcome {
        script: "binding",
        step: 1,
        ours: "Success 0x1 0020",
        theirs: "Success 0x1 0001 0020 802b",
        why: MAPPED,
    },
    Outcome {
        script: "fingerprint",
        step: 1,
        ours: "Success 0x1 0020",
        theirs: "Success 0x1 0001 0020 802b",
        why: MAPPED,
    },
    Outcome {
        script: "rubbish",
        step: 7,
        ours: "nothing",
        theirs: "Success 0x1 0001 0020 802b",
        why: "an attribute reaches beyond the message: that is no STUN at all",
    },
    Outcome {
        script: "rubbish",
        step: 8,
        ours: "nothing",
        theirs: "Error 0x2 401 0009 0014 0015",
        why: "a method it doesn't know: RFC 8489 §6.3 has it discarded silently",
    },
    Outcome {
        script: "wrong credentials",
        step: 1,
        ours: "Error 0x3 401 0009 0014 0015",
        theirs: "Error 0x3 437 0009",
        why: BUSY,
    },
    Outcome {
        script: "wrong credentials",
        step: 2,
        ours: "Error 0x3 401 0009 0014 0015",
        theirs: "Error 0x3 437 0009",
        why: BUSY,
    },
    Outcome {
        script: "wrong credentials",
        step: 3,
        ours: "Error 0x3 401 0009 0014 0015",
        theirs: "Error 0x3 437 0009",
        why: BUSY,
    },
    Outcome {
        script: "credentials cut short",
        step: 4,
        ours: "nothing",
        theirs: "Error 0x3 401 0009 0014 0015",
        why: "MESSAGE-INTEGRITY of 16 bytes breaks the format; what does is dropped",
    },
    Outcome {
        script: "an allocation",
        step: 2,
        ours: "Error 0x3 437 0008 0009 8022",
        theirs: "Error 0x3 437 0009 8022",
        why: SIGNED,
    },
    Outcome {
        script: "an allocation",
        step: 3,
        ours: "Error 0x3 437 0008 0009 8022",
        theirs: "Error 0x3 437 0009 8022",
        why: SIGNED,
    },
    Outcome {
        script: "another user",
        step: 1,
        ours: "Error 0x4 441 0008 0009 8022",
        theirs: "Error 0x4 441 0009 8022",
        why: SIGNED,
    },
    Outcome {
        script: "another user",
        step: 2,
        ours: "Error 0x8 441 0008 0009 8022",
        theirs: "Error 0x8 441 0009 8022",
        why: SIGNED,
    },
    Outcome {
        script: "tcp",
        step: 0,
        ours: "Error 0x3 442 0008 0009 8022",
        theirs: "Error 0x3 400 0008 0009 8022",
        why: "no TCP allocations (RFC 6062) without a TCP listener; coturn: not over UDP",
    },
    Outcome {
        script: "another transport",
        step: 0,
        ours: "Error 0x3 442 0008 0009 8022",
        theirs: "Error 0x3 400 0008 0009 8022",
        why: "RFC 8656 §7.2: a protocol that is not supported is 442",
    },
    Outcome {
        script: "two lifetimes",
        step: 0,
        ours: "Success 0x3 lifetime 1000 0008 000d 0016 0020 8022",
        theirs: "Success 0x3 lifetime 2000 0008 000d 0016 0020 8022",
        why: "RFC 8489 §14: only the first occurrence counts",
    },
    Outcome {
        script: "half a family",
        step: 0,
        ours: "Error 0x3 400 0008 0009 8022",
        theirs: "Error 0x3 440 0008 0009 8022",
        why: "a malformed attribute is a bad request, not another family",
    },
    Outcome {
        script: "both families",
        step: 0,
        ours: "Success 0x3 lifetime 600 0008 000d 0016 0020 8001 8022",
        theirs: "Success 0x3 lifetime 600 0008 000d 0016 0020 8022",
        why: "RFC 8656 §7.2: ADDRESS-ERROR-CODE says why there is no IPv6 address",
    },
    Outcome {
        script: "both and one family",
        step: 0,
        ours: "Error 0x3 400 0008 0009 8022",
        theirs: "Success 0x3 lifetime 600 0008 000d 0016 0020 8022",
        why: "RFC 8656 §7.2: both attributes together are 400",
    },
    Outcome {
        script: "additional ipv4",
        step: 0,
        ours: "Error 0x3 400 0008 0009 8022",
        theirs: "Success 0x3 lifetime 600 0008 000d 0016 0020 8022",
        why: "RFC 8656 §7.2: an ADDITIONAL-ADDRESS-FAMILY of IPv4 is 400",
    },
    Outcome {
        script: "a wrong token",
        step: 0,
        ours: "Error 0x3 508 0008 0009 8022",
        theirs: "Error 0x3 404 0008 0009 8022",
        why: "RFC 8656 §7.2: a token that is not valid is 508; 404 is no code of TURN",
    },
    Outcome {
        script: "nothing to refresh",
        step: 1,
        ours: "Error 0x8 437 0008 0009 8022",
        theirs: "Error 0x8 400 0008 0009 8022",
        why: "RFC 8656 §5: no allocation is 437 for every request but Allocate",
    },
    Outcome {
        script: "nothing to refresh",
        step: 2,
        ours: "Error 0x9 437 0008 0009 8022",
        theirs: "Error 0x9 400 0008 0009 8022",
        why: "RFC 8656 §5: no allocation is 437 for every request but Allocate",
    },
    Outcome {
        script: "refreshes",
        step: 6,
        ours: "Error 0x4 437 0008 0009 8022",
        theirs: "Success 0x4 lifetime 0 0008 000d 8022",
        why: "coturn keeps a deleted allocation; RFC 8656 §8.2 expects 437 here",
    },
    Outcome {
        script: "an appended lifetime of 0",
        step: 1,
        ours: "Success 0x4 lifetime 600 0008 000d 8022",
        theirs: "Success 0x4 lifetime 0 0008 000d 8022",
        why: "RFC 8489 §9: what follows MESSAGE-INTEGRITY is ignored; coturn obeys it",
    },
    Outcome {
        script: "permissions",
        step: 5,
        ours: "Error 0x8 403 0008 0009 8022",
        theirs: "Success 0x8 0008 8022",
        why: "multicast is never a peer",
    },
    Outcome {
        script: "permissions",
        step: 6,
        ours: "Error 0x8 403 0008 0009 8022",
        theirs: "Success 0x8 0008 8022",
        why: "private addresses are denied unless opened",
    },
    Outcome {
        script: "permissions",
        step: 8,
        ours: "Error 0x8 400 0008 0009 8022",
        theirs: "Success 0x8 0008 8022",
        why: "RFC 8656 §10.2: an invalid XOR-PEER-ADDRESS is 400",
    },
    Outcome {
        script: "permissions",
        step: 9,
        ours: "Error 0x8 400 0008 0009 8022",
        theirs: "Success 0x8 0008 8022",
        why: "RFC 8656 §10.2: an invalid XOR-PEER-ADDRESS is 400",
    },
    Outcome {
        script: "channel data",
        step: 7,
        ours: "the peer gets nothing",
        theirs: "the peer gets \"h\"",
        why: "more than padding follows the data of a datagram: that is no ChannelData",
    },
    Outcome {
        script: "after the end",
        step: 3,
        ours: "the peer gets nothing",
        theirs: "the peer gets \"hello\"",
        why: "RFC 8656 §8.2: the allocation is deleted; coturn relays for a while",
    },
    Outcome {
        script: "after the end",
        step: 4,
        ours: "nothing",
        theirs: "channel 0x4000 [104, 105]",
        why: "RFC 8656 §8.2: the allocation is deleted; coturn relays for a while",
    },
];
