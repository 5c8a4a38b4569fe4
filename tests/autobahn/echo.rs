//! A WebSocket by the server's own upgrade that sends back what comes: what Autobahn's test suite is let loose on.
//!
//!     echo [ADDRESS]     default 127.0.0.1:9001; prints where it listens

use std::sync::Arc;

use ruang::http::echo_router;
use ruang::ids::InstanceId;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use ruang::throttle::Limits;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    // How fast a client may be is another matter.
    let limits = Limits { socket_messages: 0, socket_bytes: 0, ..Limits::default() };
    let options = RoomsOptions { limits, ..RoomsOptions::default() };
    let app = ruang::server::app(Arc::new(MemoryLog::new()), InstanceId(1), "memory", options);
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, echo_router(app)).await
}
