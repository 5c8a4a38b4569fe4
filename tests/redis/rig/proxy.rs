//! A network between an instance and a server: it passes bytes on, until told otherwise. It runs on a thread of
//! its own, so that no test's runtime can stop it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::process::free_port;

/// What the proxy holds of one direction of a connection before it stops reading.
const HELD_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What happens to connections, those that are there and those that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// All is well. What a fault held back goes on.
    Pass,
    /// Nobody listens: connecting is refused. Connections that were there are cut.
    Refuse,
    /// Connections are taken, and nothing is said, in either direction.
    Freeze,
    /// What comes in this direction is thrown away; the connection stays as long as this does. Then it is cut, if
    /// anything of it was thrown away: no network goes on after a hole.
    Drop(Direction),
    /// The same for what comes from the server, on connections with subscriptions only: they look well, and are dead.
    Mute,
    /// All that comes arrives this much later.
    Delay(Duration),
    /// This many bytes pass in this direction, on whatever connections; the next byte cuts its connection
    /// instead, and all is well for the others and from then on.
    CutAfter(Direction, u64),
}

#[derive(Clone)]
enum End {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Dropped: it listens no more, and its connections are cut.
pub struct Proxy {
    end: End,
    commands: mpsc::UnboundedSender<Command>,
    accepted: Arc<AtomicU64>,
    answer_bytes_most: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Set(Fault, std::sync::mpsc::Sender<()>),
    CutAll(std::sync::mpsc::Sender<()>),
}

impl Proxy {
    /// Listens on a free port, in front of a server.
    pub fn tcp(server: SocketAddr) -> Self {
        Self::start(End::Tcp(SocketAddr::from(([127, 0, 0, 1], free_port()))), server)
    }

    /// Listens on a Unix socket, in front of a server.
    pub fn unix(path: &Path, server: SocketAddr) -> Self {
        Self::start(End::Unix(path.to_owned()), server)
    }

    fn start(end: End, server: SocketAddr) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let accepted = Arc::new(AtomicU64::new(0));
        let answer_bytes_most = Arc::new(AtomicU64::new(0));
        let (at, count, most) = (end.clone(), Arc::clone(&accepted), Arc::clone(&answer_bytes_most));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(run(at, server, inbox, count, most));
        });
        let proxy = Self { end, commands, accepted, answer_bytes_most, thread: Some(thread) };
        proxy.set(Fault::Pass); // and it listens
        proxy
    }

    /// Holds from the moment that this returns.
    pub fn set(&self, fault: Fault) {
        self.command(|done| Command::Set(fault, done));
    }

    /// Cuts the connections that are there; new ones are as before.
    pub fn cut_all(&self) {
        self.command(Command::CutAll);
    }

    fn command(&self, command: impl FnOnce(std::sync::mpsc::Sender<()>) -> Command) {
        let (done, wait) = std::sync::mpsc::channel();
        assert!(self.commands.send(command(done)).is_ok(), "the proxy runs");
        wait.recv().expect("the proxy runs");
    }

    /// How many connections it has taken so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The most bytes that came from the server on one connection before the client said something again: its largest
    /// answer, of a client that asks one thing at a time. Counts anew from then on.
    pub fn take_answer_bytes_most(&self) -> u64 {
        self.answer_bytes_most.swap(0, Ordering::Relaxed)
    }

    /// As `--store` takes it.
    pub fn url(&self) -> String {
        match &self.end {
            End::Tcp(address) => format!("redis://{address}"),
            End::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.commands = mpsc::unbounded_channel().0; // closes the inbox
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
type AnyStream = Box<dyn Stream>;

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn bind(end: &End) -> Self {
        match end {
            End::Tcp(address) => Self::Tcp(TcpListener::bind(address).await.expect("the port is ours")),
            End::Unix(path) => {
                let _ = std::fs::remove_file(path);
                Self::Unix(UnixListener::bind(path).expect("the path is ours"))
            }
        }
    }

    async fn accept(&self) -> AnyStream {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("a socket");
                Box::new(stream)
            }
            Self::Unix(listener) => {
                let (stream, _): (UnixStream, _) = listener.accept().await.expect("a connection");
                Box::new(stream)
            }
        }
    }
}

/// What connections have in common.
#[derive(Clone)]
struct Shared {
    fault: watch::Sender<Fault>,
    /// Changes when all connections are cut.
    cuts: watch::Sender<u64>,
    /// What [`Fault::CutAfter`] still lets pass.
    left: Arc<AtomicU64>,
    /// See [`Proxy::take_answer_bytes_most`].
    answer_bytes_most: Arc<AtomicU64>,
}

/// What the two directions of a connection know of each other.
#[derive(Default)]
struct Seen {
    subscribes: AtomicBool,
    /// Bytes from the server since the client has said something.
    answer_bytes: AtomicU64,
}

impl Shared {
    fn set(&self, fault: Fault) {
        if let Fault::CutAfter(_, bytes) = fault {
            self.left.store(bytes, Ordering::Relaxed);
        }
        self.fault.send_replace(fault);
    }

    fn cut_all(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

async fn run(
    end: End,
    server: SocketAddr,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    accepted: Arc<AtomicU64>,
    answer_bytes_most: Arc<AtomicU64>,
) {
    let shared = Shared {
        fault: watch::Sender::new(Fault::Pass),
        cuts: watch::Sender::new(0),
        left: Arc::default(),
        answer_bytes_most,
    };
    let mut listener: Option<Listener> = None;
    loop {
        let refuses = *shared.fault.borrow() == Fault::Refuse;
        tokio::select! {
            biased;
            command = inbox.recv() => {
                let done = match command {
                    None => break,
                    Some(Command::Set(fault, done)) => {
                        shared.set(fault);
                        if fault == Fault::Refuse {
                            listener = None;
                            if let End::Unix(path) = &end {
                                let _ = std::fs::remove_file(path);
                            }
                            shared.cut_all();
                        } else if listener.is_none() {
                            listener = Some(Listener::bind(&end).await);
                        }
                        done
                    }
                    Some(Command::CutAll(done)) => {
                        shared.cut_all();
                        done
                    }
                };
                // Connections hear of it before the test goes on.
                tokio::task::yield_now().await;
                let _ = done.send(());
            },
            client = async { listener.as_ref().expect("it listens").accept().await }, if !refuses && listener.is_some() => {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(client, server, shared.clone()));
            },
        }
    }
    if let End::Unix(path) = &end {
        let _ = std::fs::remove_file(path);
    }
}

/// One connection, until either side ends it or it is cut.
async fn connection(client: AnyStream, server: SocketAddr, shared: Shared) {
    let mut cuts = shared.cuts.subscribe();
    let pass = async {
        let Ok(server) = TcpStream::connect(server).await else { return };
        server.set_nodelay(true).expect("a socket");
        let (client_out, client_in) = tokio::io::split(client);
        let (server_out, server_in) = tokio::io::split(Box::new(server) as AnyStream);
        let seen = Seen::default();
        tokio::select! {
            () = pump(client_out, server_in, Direction::ToServer, &shared, &seen) => {},
            () = pump(server_out, client_in, Direction::ToClient, &shared, &seen) => {},
        }
    };
    tokio::select! {
        () = pass => {},
        _ = cuts.changed() => {},
    }
}

/// One direction of a connection. Returns when the connection is to end.
async fn pump(
    mut from: ReadHalf<AnyStream>,
    mut to: WriteHalf<AnyStream>,
    direction: Direction,
    shared: &Shared,
    seen: &Seen,
) {
    let drops = |fault| match fault {
        Fault::Drop(which) => which == direction,
        Fault::Mute => direction == Direction::ToClient && seen.subscribes.load(Ordering::Relaxed),
        _ => false,
    };
    let mut has_hole = false;
    let mut faults = shared.fault.subscribe();
    let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; 64 << 10];
    let mut ended = false;
    loop {
        let fault = *faults.borrow_and_update();
        let flows = fault != Fault::Freeze;
        let held_bytes: usize = held.iter().map(|(_, bytes)| bytes.len()).sum();
        if ended && held.is_empty() || has_hole && !drops(fault) {
            return;
        }
        let due = held.front().map_or_else(Instant::now, |(due, _)| *due);
        tokio::select! {
            biased;
            changed = faults.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(due), if flows && !held.is_empty() => {
                let (_, bytes) = held.pop_front().expect("the front was due");
                if drops(fault) {
                    has_hole = true;
                    continue;
                }
                if direction == Direction::ToServer && bytes.windows(10).any(|word| word == b"SSUBSCRIBE") {
                    seen.subscribes.store(true, Ordering::Relaxed);
                }
                let passes = shared.take(fault, direction, bytes.len());
                shared.count(direction, passes as u64, seen);
                if to.write_all(&bytes[..passes]).await.is_err() || to.flush().await.is_err() {
                    return;
                }
                if passes < bytes.len() {
                    shared.fault.send_replace(Fault::Pass);
                    return;
                }
            },
            read = from.read(&mut buffer), if flows && !ended && held_bytes < HELD_BYTES_MAX => match read {
                Ok(0) | Err(_) => ended = true,
                Ok(count) => {
                    let late = if let Fault::Delay(by) = fault { by } else { Duration::ZERO };
                    held.push_back((Instant::now() + late, buffer[..count].to_vec()));
                }
            },
        }
    }
}

impl Shared {
    fn count(&self, direction: Direction, bytes: u64, seen: &Seen) {
        match direction {
            Direction::ToServer => seen.answer_bytes.store(0, Ordering::Relaxed),
            Direction::ToClient => {
                let answer = seen.answer_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                self.answer_bytes_most.fetch_max(answer, Ordering::Relaxed);
            }
        }
    }

    /// How many of `count` bytes may pass.
    fn take(&self, fault: Fault, direction: Direction, count: usize) -> usize {
        if !matches!(fault, Fault::CutAfter(which, _) if which == direction) {
            return count;
        }
        let left = self.left.load(Ordering::Relaxed);
        let passes = left.min(count as u64);
        self.left.store(left - passes, Ordering::Relaxed);
        usize::try_from(passes).expect("at most count")
    }
}
