//! The frames of the signaling protocol: what reads is written so that it reads the same.

use signal_core::protocol::{ClientMessage, ServerFrame, ServerMessage};
use signal_core::{FrameText, Numbered};

/// Reads the bytes as a frame of either side, writes it, and reads that.
///
/// # Panics
/// If another frame comes out.
pub fn frames(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        client_frame(text);
        server_frame(text);
    }
}

fn client_frame(text: &str) {
    let message = match ClientMessage::parse(text) {
        Ok(message) => message,
        Err(unreadable) => return assert!(!unreadable.text.is_empty()),
    };
    let written = message.encode();
    let again = ClientMessage::parse(&written).expect("what was written reads");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert_eq!(again.encode(), written);
}

fn server_frame(text: &str) {
    let Ok(message) = ServerMessage::parse(text) else { return };
    let ServerMessage { seq, ack, frame } = &message;
    // A frame of a type that is unknown isn't kept.
    if matches!(frame, ServerFrame::Unknown) {
        return;
    }
    let has_own_ack = matches!(
        frame,
        ServerFrame::Welcome(_)
            | ServerFrame::Resync(_)
            | ServerFrame::Resumed { .. }
            | ServerFrame::Ack { .. }
    );
    let plain = FrameText::encode(frame);
    let ack = ack.filter(|_| !has_own_ack);
    let written = Numbered { seq: *seq, ack, frame: plain.clone() }.text();
    let again = ServerMessage::parse(written.as_str()).expect("what was written reads");
    assert_eq!(format!("{:?}", again.frame), format!("{frame:?}"));
    assert_eq!(FrameText::encode(&again.frame).as_str(), plain.as_str());
    assert_eq!((again.seq, again.ack.filter(|_| !has_own_ack)), (*seq, ack));
}
