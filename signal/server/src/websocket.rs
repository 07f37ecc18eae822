//! A WebSocket as an edge: the task that carries one client's frames between its socket and the
//! shard of its room.

use crate::Connection;
use crate::alarm::Alarm;
use crate::drain::Seldom;
use crate::edges::{Edges, Origin, Ties};
use crate::socket::{Socket, SocketEvent};
use hyper::upgrade::OnUpgrade;
use signal_core::protocol::CloseCode;
use signal_core::{End, Transmit};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Waits for a connection to become a WebSocket, and serves it until it ends.
///
/// `connection` is held as long: its place among the server's connections.
pub(crate) async fn run(
    edges: Arc<Edges>,
    connection: Option<Connection>,
    origin: Origin,
    upgrade: OnUpgrade,
    stopping: watch::Receiver<bool>,
) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = Socket::new(upgraded, edges.limits.frame_bytes_max);
    // Lent to what follows, since a future holds what is moved into it twice.
    let mut ties = Ties::with_matchmaking(&edges, origin);
    let end = serve(&mut ties, &mut socket, stopping).await;
    debug!(?end, "the connection ended");
    drop(connection);
}

/// Carries frames until the connection ends, then closes the socket.
async fn serve(ties: &mut Ties, socket: &mut Socket, mut stopping: watch::Receiver<bool>) -> End {
    let stop = pin!(async move { stopping.wait_for(|stopping| *stopping).await.is_ok() });
    let edges = ties.edges.clone();
    let mut stop = Seldom::new(stop, &edges.is_ending);
    let goaway = pin!(edges.goaway(None));
    let mut goaway = Seldom::new(goaway, &edges.is_ending);
    let timer = pin!(sleep(ties.edges.limits.hello_timeout));
    let mut alarm = Alarm::new(timer);
    let end = loop {
        ties.pass_requests().await;
        ties.pass_ticket().await;
        fill(ties, socket);
        if let Some(end) = ties.edge.ended() {
            // What the end gave the hub to do; then the client is told.
            ties.pass_requests().await;
            break end;
        }
        alarm.set(ties.edges.now(), ties.edge.poll_timeout());
        let (reads, takes) = (ties.edge.wants_frames(), socket.takes_more());
        // A client that sends without end holds up nothing else: what is before it here is looked
        // at first, and what is behind it after a few dozen of its frames (tokio's budget).
        tokio::select! {
            biased;
            turn = ties.turn(takes) => ties.handle_turn(turn),
            event = socket.event(reads) => handle_socket(ties, event),
            () = alarm.ring() => {
                let now = ties.edges.now();
                ties.edge.handle_timeout(now);
            }
            drain = &mut goaway => {
                drain.tell(&mut ties.edge);
                goaway.set(edges.goaway(Some(drain)));
            }
            _ = &mut stop => ties.edge.close(CloseCode::Shutdown),
        }
    };
    ties.drop_ticket();
    let close_timeout = ties.edges.config.close_timeout;
    let closing = match end {
        End::Close(code) => timeout(close_timeout, socket.close(Some(code))).await,
        End::Closed => timeout(close_timeout, socket.close(None)).await,
        End::Broken => Ok(()),
    };
    if closing.is_err() {
        debug!("the client didn't take its close frame in time");
    }
    end
}

fn handle_socket(ties: &mut Ties, event: SocketEvent) {
    let now = ties.edges.now();
    match event {
        SocketEvent::Text(text) => ties.edge.handle_text(now, &text),
        SocketEvent::Binary => ties.edge.handle_binary(now),
        SocketEvent::SignOfLife => ties.edge.handle_sign_of_life(now),
        SocketEvent::Flushed => {}
        SocketEvent::Closed(code) => ties.edge.handle_closed(code),
        SocketEvent::Wrong(code) => ties.edge.close(code),
        SocketEvent::Broken => ties.edge.handle_broken(),
    }
}

/// Moves frames to the socket while it takes more: the edge's own, then what the shard has queued.
fn fill(ties: &mut Ties, socket: &mut Socket) {
    while socket.takes_more() {
        match ties.edge.poll_transmit() {
            Some(Transmit::Frame(frame)) => socket.send_frame(&frame),
            Some(Transmit::Refusal(code, frame)) => {
                ties.edges.counters.count_refusal(code);
                debug!(%code, "refused");
                socket.send_text(&frame);
            }
            Some(Transmit::Ping) => socket.send_ping(),
            None => match ties.try_event() {
                Some(event) => ties.handle_event(event),
                None => return,
            },
        }
    }
}
