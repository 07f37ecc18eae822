//! What the program is, where it listens and how much it has to do.

use super::Admin;
use super::answer::Json;
use super::samples::Samples;
use crate::banner::Addresses;
use axum::extract::State;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// The program at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The program's version.
    version: &'static str,
    /// How long it has been running.
    uptime_s: u64,
    /// Whether it is about to end.
    draining: bool,
    listeners: Listeners,
    counts: Counts,
}

/// Where it is reached.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listeners {
    /// HTTP and WebSocket.
    #[schema(value_type = Vec<String>)]
    http: Vec<SocketAddr>,
    /// HTTPS and secure WebSocket.
    #[schema(value_type = Vec<String>)]
    https: Vec<SocketAddr>,
    /// STUN/TURN by UDP.
    #[schema(value_type = Vec<String>)]
    turn: Vec<SocketAddr>,
    /// The same by TCP.
    #[schema(value_type = Vec<String>)]
    turn_tcp: Vec<SocketAddr>,
    /// The same by TLS.
    #[schema(value_type = Vec<String>)]
    turn_tls: Vec<SocketAddr>,
    /// This API.
    #[schema(value_type = Vec<String>)]
    admin: Vec<SocketAddr>,
}

/// How much there is at the moment; 0 of what the program doesn't run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts {
    /// Connections of signaling.
    connections: u64,
    rooms: u64,
    members: u64,
    allocations: u64,
}

/// The program at a glance
#[utoipa::path(
    get,
    path = "/v1/status",
    responses((status = 200, description = "The status", body = Status))
)]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Json<Status> {
    let samples = Samples::new((admin.read)());
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: admin.uptime_s(),
        draining: admin.drains.current().is_some(),
        listeners: Listeners::of(&admin.addresses),
        counts: Counts {
            connections: samples.sum("signal_connections_open"),
            rooms: samples.sum("signal_rooms"),
            members: samples.sum("signal_members"),
            allocations: samples.sum("relay_allocations"),
        },
    })
}

impl Listeners {
    fn of(addresses: &Addresses) -> Self {
        let Addresses { http, https, turn, turn_tcp, turn_tls, admin } = addresses.clone();
        let (http, admin) = (http.into_iter().collect(), admin.into_iter().collect());
        Self { http, https, turn, turn_tcp, turn_tls, admin }
    }
}
