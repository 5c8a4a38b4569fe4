//! The admin socket: `admin.sock` beside an embedded store, for the operators of this machine. Whoever may
//! open it (the owner of the directory) may read every room; what is offered there is in `http::admin`.
//!
//! Invariants:
//! - Only who holds the store's lock makes or removes the socket.
//! - It is never reachable by others, also not for a moment: it is made in a directory of its own and moved.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::SOCKET_PATH_BYTES_MAX;
use crate::server;

const SOCKET: &str = "admin.sock";
/// Where the socket is made, before it is moved into its place.
const WORKSHOP: &str = ".admin";

/// The socket of a running server. Dropping it removes the file.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// A directory as a short path: paths to sockets have about a hundred bytes.
struct ShortPath {
    path: PathBuf,
    /// Keeps the short path alive.
    _open: Option<File>,
}

impl AdminSocket {
    /// Makes the socket in a store's directory, in place of one that an ended process has left. The caller
    /// holds the store.
    ///
    /// # Errors
    /// What the system says; also for a path that is too long where there is no way around that.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let workshop = dir.join(WORKSHOP);
        clear(&workshop)?;
        fs::DirBuilder::new().mode(0o700).create(&workshop)?;
        let bound = bind_in(dir, &workshop);
        let cleared = clear(&workshop);
        let socket = bound?;
        cleared?;
        Ok(socket)
    }

    /// Serves until `end`, then finishes the calls under way.
    pub async fn serve(self, router: Router, end: CancellationToken) {
        let calls = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = end.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    calls.spawn(Box::pin(server::exchange(stream, router.clone(), end.clone())));
                }
                Err(error) => {
                    tracing::error!(%error, "a connection to admin.sock cannot be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
        calls.close();
        calls.wait().await;
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the admin socket cannot be removed");
        }
    }
}

/// Connects to the server that holds the store in `dir`.
///
/// # Errors
/// What the system says: there is no socket, or nobody listens on it.
pub async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let short = ShortPath::of(dir, SOCKET)?;
    UnixStream::connect(short.path.join(SOCKET)).await
}

fn bind_in(dir: &Path, workshop: &Path) -> io::Result<AdminSocket> {
    let made = workshop.join(SOCKET);
    let listener = {
        let short = ShortPath::of(workshop, SOCKET)?;
        UnixListener::bind(short.path.join(SOCKET))?
    };
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
    let path = dir.join(SOCKET);
    fs::rename(&made, &path)?;
    Ok(AdminSocket { listener, path })
}

/// Removes what an earlier process has left. Nothing but a socket is removed.
fn clear(workshop: &Path) -> io::Result<()> {
    let absent_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    absent_is_fine(fs::remove_file(workshop.join(SOCKET)))?;
    absent_is_fine(fs::remove_dir(workshop))
}

impl ShortPath {
    /// The directory by a path that leaves room for `name`.
    fn of(dir: &Path, name: &str) -> io::Result<Self> {
        if dir.as_os_str().len() + 1 + name.len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { path: dir.to_path_buf(), _open: None });
        }
        let open = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        if !path.exists() {
            let why = format!(
                "the path of a socket has at most {SOCKET_PATH_BYTES_MAX} bytes here; choose a shorter directory"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Self { path, _open: Some(open) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// [O25] The socket is for its owner only, replaces one that was left, and goes with its server.
    #[tokio::test]
    async fn the_socket_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET);
        assert!(connect(dir.path()).await.is_err(), "nobody is there");
        let socket = AdminSocket::bind(dir.path()).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        connect(dir.path()).await.unwrap();
        std::mem::forget(socket); // as kill -9 does
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("x")).unwrap());
        fs::rename(dir.path().join("x"), &path).unwrap();
        assert!(connect(dir.path()).await.is_err(), "a socket that was left");
        fs::create_dir(dir.path().join(WORKSHOP)).unwrap(); // cut off while it was made
        let socket = AdminSocket::bind(dir.path()).unwrap();
        connect(dir.path()).await.unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    /// [O25] A directory whose path is too long for a socket has one all the same.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn long_paths_have_sockets() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("x".repeat(120)).join("y".repeat(120));
        fs::create_dir_all(&dir).unwrap();
        let socket = AdminSocket::bind(&dir).unwrap();
        connect(&dir).await.unwrap();
        assert_eq!(mode(&dir.join(SOCKET)), 0o600);
        drop(socket);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    }
}
