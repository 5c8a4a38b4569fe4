//! A server whose log nobody reads any more.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::binary::{end_of, ruang, signal};
use crate::harness::Client;

/// [O3] Whatever read the log has gone: the server serves, and one SIGTERM ends it well.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_log_is_closed_serves_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("file:{}", dir.path().display());
    let args = ["serve", "--listen", "127.0.0.1:0", "--log", "debug", "--store", store.as_str()];
    let mut child = ruang(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let listening = lines.find(|line| line.contains("listening on http://")).unwrap();
    let (_, rest) = listening.split_once("http://").unwrap();
    let address = rest.split(' ').next().unwrap().to_owned();
    drop(lines);
    println!("nobody reads the log of {address} any more");
    let url = format!("ws://{address}/ws/r");
    let (mut ann, mut bob) = (Client::connect(&url, None).await, Client::connect(&url, None).await);
    ann.sync().await;
    bob.sync().await;
    ann.set("k", "v").await;
    bob.until_set("k", "v").await;
    signal(&child, "-TERM");
    let ended = tokio::task::spawn_blocking(move || end_of(&mut child, Duration::from_secs(40)));
    assert_eq!(bob.until_closed().await, Some(1012));
    assert_eq!(ended.await.unwrap().code(), Some(0));
}
