//! For conformance tests: what comes, goes back, by the same upgrade, reader and writer as every socket's. No route of the
//! server leads here. What breaks the RFC is told by the code that the RFC has for it, where the server says 4400.

use std::sync::Arc;

use hyper::upgrade::Upgraded;

use super::channel::Channel;
use super::end::End;
use super::io::{Socket, Unreadable};
use crate::http::App;
use crate::wire::WireError;
use crate::wire::close::Close;
use crate::wire::websocket::{self, Incoming};

/// Of the RFC: a rule is broken; a kind of data that is not taken.
const PROTOCOL_ERROR: u16 = 1002;
const UNACCEPTABLE: u16 = 1003;

/// Sends binary messages and pings back until the client leaves or breaks a rule. Text is refused, as everywhere here.
pub(in crate::http) async fn echo(app: Arc<App>, upgraded: Upgraded) {
    let mut socket = Socket::new(upgraded, Arc::clone(&app.throttle));
    let end = loop {
        if let Err(end) = turn(&mut socket).await {
            break end;
        }
    };
    if let End::Close(close) = end {
        socket.close(close).await;
    }
}

async fn turn(socket: &mut Socket) -> Result<(), End> {
    while let Some(read) = socket.next_read() {
        answer(socket, read).await?;
    }
    Ok(socket.more().await?)
}

async fn answer(socket: &mut Socket, read: Result<Incoming, Unreadable>) -> Result<(), End> {
    let read = read.map_err(|unreadable| match unreadable {
        Unreadable::Frame(error) => Close::new(PROTOCOL_ERROR, error.to_string()).into(),
        other => End::from(other),
    });
    let answer = match read? {
        Incoming::Binary(bytes) => websocket::frame(&bytes),
        Incoming::Ping(bytes) => websocket::pong(&bytes),
        Incoming::Pong => return Ok(()),
        Incoming::Text => return Err(Close::new(UNACCEPTABLE, WireError::Text.to_string()).into()),
        Incoming::Close(code) => {
            socket.write(&[websocket::close_reply(code)]).await?;
            return Err(End::Gone);
        }
    };
    Ok(socket.write(&[answer]).await?)
}
