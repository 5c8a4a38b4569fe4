//! Servers behind a proxy that is trusted, and requests as they stand on the wire.

use std::net::SocketAddr;
use std::sync::Arc;

use ruang::http::front::{FrontOptions, Proxies};
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use ruang::throttle::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{PATIENCE, Server};

/// Everything on this machine counts as a proxy: a client says where it is.
pub fn behind_loopback() -> FrontOptions {
    let proxies = Proxies { networks: vec!["127.0.0.0/8".parse().unwrap()], ..Proxies::default() };
    FrontOptions { development: true, proxies, ..FrontOptions::default() }
}

pub async fn server(limits: Limits) -> Server {
    server_behind(limits, behind_loopback()).await
}

pub async fn server_behind(limits: Limits, front: FrontOptions) -> Server {
    let options = RoomsOptions { limits, ..RoomsOptions::default() };
    Server::start_behind(Arc::new(MemoryLog::new()), options, front).await
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header field, if it is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().filter_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        });
        values.next().filter(|_| values.next().is_none())
    }

    /// Without what differs from one second to the next.
    pub fn timeless(mut self) -> Self {
        self.head =
            self.head.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n");
        self
    }
}

/// Sends a request and reads the answer to its end.
pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !has_host {
        head += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
