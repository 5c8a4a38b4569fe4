//! The way in: from an upgraded socket, or a part of one, to a session at work.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::Upgraded;
use tokio::time::timeout;

use super::Shell;
use super::channel::Channel;
use super::end::{Open, refuse, refuse_at_once};
use super::io::Socket;
use crate::auth::Standing;
use crate::http::App;
use crate::ids::{RoomName, RoomNameError};
use crate::limits::GREETING_MS_MAX;
use crate::room::{Entry, Member};
use crate::throttle::Address;
use crate::wire::close::{self, Close};
use crate::wire::voice::Voice;

/// Serves a socket that is one session, to its end.
pub(in crate::http) async fn serve(
    app: Arc<App>,
    upgraded: Upgraded,
    room: Result<RoomName, RoomNameError>,
    token: Option<String>,
    voice: Voice,
    address: Option<Address>,
) {
    let socket = Socket::new(upgraded, Arc::clone(&app.throttle));
    let _open = Open::new(Arc::clone(&app));
    match app.admit_socket(room, token.as_deref()) {
        Ok(standing) => session(app, socket, voice, standing, address).await,
        // y-sweet's provider tries three times, half a second apart, before it asks for another token.
        Err(close) if voice == Voice::YSweet => Box::pin(refuse_at_once(&app, socket, close)).await,
        Err(close) => Box::pin(refuse(&app, socket, close)).await,
    }
}

/// Tells a client that is not let in why.
pub(in crate::http) async fn turn_away(app: Arc<App>, upgraded: Upgraded, close: Close) {
    let socket = Socket::new(upgraded, Arc::clone(&app.throttle));
    let _open = Open::new(Arc::clone(&app));
    refuse(&app, socket, close).await;
}

/// Serves one session to its end: of somebody who was admitted to a room.
pub(super) fn session<C: Channel>(
    app: Arc<App>,
    channel: C,
    voice: Voice,
    standing: Standing,
    address: Option<Address>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let entry = Entry { caller: Arc::clone(standing.caller()), voice, outlet: channel.outlet(), address };
    let (channel, standing) = (Box::new(channel), Box::new(standing));
    boxed(async move {
        match boxed(enter(Arc::clone(&app), standing.room().clone(), entry)).await {
            Ok(member) => run(app, channel, member, standing).await,
            Err(close) => boxed(async move { refuse(&app, *channel, close).await }).await,
        }
    })
}

/// Serves one session of somebody who is in.
#[expect(clippy::boxed_local, reason = "whoever calls would keep a place for what is given by value")]
fn run<C: Channel>(
    app: Arc<App>,
    channel: Box<C>,
    member: Member,
    standing: Box<Standing>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(Box::new(Shell::new(app, *channel, member, *standing)).run())
}

/// What happens once in a session's life is boxed, and made where no other future keeps a place for it: a future is as
/// large as the largest of its parts for as long as it lives, and most of its life it only waits.
pub(super) fn boxed<T>(
    future: impl Future<Output = T> + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(future)
}

async fn enter(app: Arc<App>, room: RoomName, entry: Entry) -> Result<Member, Close> {
    let join = app.rooms.join(&room, entry);
    // A store that hangs must not pile up sockets whose clients have long given up.
    let joined = timeout(Duration::from_millis(GREETING_MS_MAX), join).await;
    joined.unwrap_or_else(|_| Err(Close::new(close::BUSY, "the room takes too long to load")))
}
