//! Connecting and reading: the TCP stream under a client.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::client::Client;
use super::frame::Kind;
use super::outgoing::Outgoing;
use super::target::{Family, Target};
use super::world::World;
use super::{LoadError, author};

/// A Hocuspocus client's word that it has no token.
const NO_TOKEN: &[u8] = &[2, 0, 0];

/// From the first packet to the server's answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of the server's answer to the upgrade.
const RESPONSE_BYTES_MAX: usize = 16 << 10;

/// Bytes that one read takes at most; one buffer per thread, none per client.
const READ_BYTES: usize = 256 << 10;

/// The subprotocol that brings acks.
pub(super) const ACKS: &str = "ruang.v1";

/// Connects `client`, sends its Step1 and reads until the connection ends or the returned handle is
/// aborted. Returns when the server has accepted the socket, before it answers.
///
/// # Errors
/// Cannot connect, or not a WebSocket server; the text says what to do.
pub(super) async fn join(
    client: &Arc<Client>,
    world: &Arc<World>,
    target: &Target,
    due: Instant,
) -> Result<AbortHandle, LoadError> {
    client.before_join(due);
    let room = &world.rooms[client.room as usize].name;
    let prefix = target.family.prefix(room);
    let connect = tokio::time::timeout(CONNECT_TIMEOUT, upgrade(target, room));
    let (stream, early) = connect.await.map_err(|_| LoadError::Timeout {
        what: format!("the WebSocket upgrade at {}", target.authority),
        after: CONNECT_TIMEOUT,
    })??;
    let (read, write) = stream.into_split();
    {
        let mut outgoing = client.outgoing.lock();
        outgoing.open(write, target.acks, &prefix);
        if target.family == Family::Hocuspocus {
            outgoing.control(Kind::Binary, NO_TOKEN);
        }
        outgoing.control(Kind::Binary, &author::empty_step_1());
    }
    Outgoing::flush(client, world);
    let task = tokio::spawn(read_on(Arc::clone(client), Arc::clone(world), read, early));
    Ok(task.abort_handle())
}

/// Ends a connection from our side.
pub(super) fn leave(client: &Client, reader: &AbortHandle) {
    reader.abort();
    client.outgoing.lock().close(true);
}

/// The opening handshake: the stream, and what came right behind the server's answer.
async fn upgrade(target: &Target, room: &str) -> Result<(TcpStream, Vec<u8>), LoadError> {
    let refused = |source: io::Error| LoadError::Connect { authority: target.authority.clone(), source };
    let mut stream = TcpStream::connect(target.next()).await.map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    let key = generate_key();
    let protocol = if target.acks { format!("Sec-WebSocket-Protocol: {ACKS}\r\n") } else { String::new() };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{protocol}\r\n",
        target.path(room),
        target.authority
    );
    stream.write_all(request.as_bytes()).await.map_err(refused)?;
    let mut answer = Vec::with_capacity(512);
    let end = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read_buf(&mut answer).await.map_err(refused)?;
        if read == 0 || answer.len() > RESPONSE_BYTES_MAX {
            return Err(not_a_socket(target, "the answer has no end"));
        }
    };
    let early = answer.split_off(end);
    let head = String::from_utf8_lossy(&answer);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(not_a_socket(target, status));
    }
    if !head.contains(&derive_accept_key(key.as_bytes())) {
        return Err(not_a_socket(target, "the accept key is wrong"));
    }
    if target.acks && !head.contains(ACKS) {
        return Err(not_a_socket(target, "it does not speak ruang.v1, so nothing is known of acks"));
    }
    Ok((stream, early))
}

fn not_a_socket(target: &Target, answer: &str) -> LoadError {
    LoadError::Refused { url: target.to_string(), answer: answer.trim().to_owned() }
}

async fn read_on(client: Arc<Client>, world: Arc<World>, mut half: OwnedReadHalf, early: Vec<u8>) {
    let mut end = client.on_bytes(&world, &early, Instant::now()).err().map(|fault| fault.to_string());
    while end.is_none() {
        end = read_once(&client, &world, &mut half).await;
    }
    client.state.lock().ended = end;
    client.outgoing.lock().close(false);
}

/// One read into this thread's buffer; the reason when it was the last.
async fn read_once(client: &Arc<Client>, world: &World, half: &mut OwnedReadHalf) -> Option<String> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    }
    poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut *half).poll_read(context, &mut buffer)) {
                Err(error) => Poll::Ready(Some(format!("the connection broke: {error}"))),
                Ok(()) if buffer.filled().is_empty() => {
                    Poll::Ready(Some("the server ended the connection".to_owned()))
                }
                Ok(()) => {
                    let taken = client.on_bytes(world, buffer.filled(), Instant::now());
                    Poll::Ready(taken.err().map(|fault| fault.to_string()))
                }
            }
        })
    })
    .await
}
