//! Webhooks, told to a real receiver.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, Mac};
use ruang::ids::InstanceId;
use ruang::life::Sweeper;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use ruang::telemetry::Metrics;
use ruang::webhooks::{Notices, Secret, WebhookOptions};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::api_support::{call, patch, set};
use crate::harness::{Server, until};
use crate::life_support::{DAY, HOUR, TestClocks, leave_one_edit, room, rooms};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One request, as it came.
#[derive(Debug, Clone)]
struct Told {
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }

    /// As a receiver checks it.
    fn is_signed(&self) -> bool {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        let key = base64.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        let expected = format!("v1,{}", base64.encode(mac.finalize().into_bytes()));
        self.signature.split(' ').any(|signature| signature == expected)
    }
}

/// What a receiver does with the next request; the last one stays.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Answer(&'static str),
    Hang,
}

/// A receiver of webhooks.
struct Receiver {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    manners: Arc<Mutex<VecDeque<Manner>>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const TAKEN: Manner = Manner::Answer("204 No Content\r\n");

impl Receiver {
    async fn start(manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let manners = Arc::new(Mutex::new(manners.iter().copied().collect::<VecDeque<_>>()));
        let (heard, ways) = (Arc::clone(&told), Arc::clone(&manners));
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (heard, ways) = (Arc::clone(&heard), Arc::clone(&ways));
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let (head, body) = loop {
                        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                        let text = String::from_utf8(bytes.clone()).unwrap();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let length = header(head, "content-length").parse::<usize>().unwrap();
                        if body.len() >= length {
                            break (head.to_owned(), body.to_owned());
                        }
                    };
                    assert!(head.starts_with("POST /hook?k=v HTTP/1.1"), "{head}");
                    assert_eq!(header(&head, "content-type"), "application/json");
                    let manner = {
                        let mut ways = ways.lock().unwrap();
                        if ways.len() > 1 { ways.pop_front().unwrap() } else { ways[0] }
                    };
                    heard.lock().unwrap().push(Told {
                        id: header(&head, "webhook-id"),
                        timestamp: header(&head, "webhook-timestamp"),
                        signature: header(&head, "webhook-signature"),
                        body,
                    });
                    match manner {
                        Manner::Answer(status) => {
                            let answer = format!("HTTP/1.1 {status}Content-Length: 0\r\n\r\n");
                            let _ = stream.write_all(answer.as_bytes()).await;
                        }
                        Manner::Hang => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, told, manners, task }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.told().iter().map(Told::kind).collect()
    }

    /// Fast: nobody waits for seconds in a test.
    fn options(&self) -> WebhookOptions {
        let urls = [format!("http://{}/hook?k=v", self.address).parse().unwrap()];
        let mut options = WebhookOptions::new(&urls, Secret::parse_all(SECRET).unwrap()).unwrap();
        options.debounce = Duration::from_millis(50);
        options.waits = vec![Duration::from_millis(30); 4];
        options.rest = Duration::from_millis(1);
        options.request = Duration::from_millis(500);
        options
    }
}

fn header(head: &str, name: &str) -> String {
    let line = head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    });
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

struct World {
    server: Server,
    metrics: Arc<Metrics>,
}

impl World {
    async fn start(options: WebhookOptions) -> Self {
        let metrics = Arc::new(Metrics::new());
        let notices = Notices::start(options, &metrics);
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
        let server = Server::start_with(log, RoomsOptions { notices, ..RoomsOptions::default() }).await;
        Self { server, metrics }
    }
}

/// [P20] A room's creation, its changes and its deletion are told, signed, with ids of their own; many changes as a few, the
/// newest among them.
#[tokio::test]
async fn what_happens_is_told() {
    let receiver = Receiver::start(&[TAKEN]).await;
    let world = World::start(receiver.options()).await;
    let address = world.server.address;
    let mut last = String::new();
    for n in 0..40 {
        last = patch(address, "r", &[], &set("n", n)).await.position();
    }
    let newest = |told: &Told| told.kind() == "room.changed" && told.json()["data"]["position"] == last;
    until("the last change is told", || async { receiver.told().iter().any(newest) }).await;
    assert_eq!(call(address, ("DELETE", "/api/v1/rooms/r"), &[], None).await.status, 204);
    until("the deletion is told", || async {
        receiver.kinds().last().is_some_and(|kind| kind == "room.deleted")
    })
    .await;
    let told = receiver.told();
    println!("{} notices of 40 edits: {:?}", told.len(), receiver.kinds());
    assert!(told.iter().all(Told::is_signed), "{told:?}");
    assert_eq!(told[0].kind(), "room.created");
    assert_eq!(told[0].json()["data"]["kind"], "free", "[B17]");
    assert!(told[0].json()["data"]["position"].as_str().unwrap().ends_with("-1"));
    assert!(told.len() < 30, "changes are told together");
    let mut ids: Vec<&str> = told.iter().map(|told| told.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), told.len());
    assert!(told.iter().all(|told| told.json()["data"]["room"] == "r" && !told.id.contains('.')));
    let mut forged = told[0].clone();
    forged.body = forged.body.replace("\"r\"", "\"s\"");
    assert!(!forged.is_signed());
    world.server.stop().await;
}

/// [P21] What a receiver does not take is told again under the same id: after an error, a redirect (which is not followed), a
/// silence, a connection that is refused. What it wants nothing of is not.
#[tokio::test]
async fn what_is_not_taken_is_told_again() {
    let manners = [
        Manner::Answer("500 Oops\r\n"),
        Manner::Answer("302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\n"),
        Manner::Hang,
        Manner::Answer("429 Slow\r\nRetry-After: 0\r\n"),
        TAKEN,
    ];
    let receiver = Receiver::start(&manners).await;
    let world = World::start(receiver.options()).await;
    patch(world.server.address, "r", &[], &set("n", 1)).await;
    until("it is taken", || async { world.metrics.webhooks.taken.get() >= 1 }).await;
    let told = receiver.told();
    println!("{:?}", receiver.kinds());
    assert_eq!(told.iter().filter(|told| told.kind() == "room.created").count(), 5);
    assert!(
        told[..5]
            .iter()
            .all(|again| again.id == told[0].id && again.body == told[0].body && again.is_signed())
    );
    assert_eq!(world.metrics.webhooks.failures.get(), 4);
    until("the change is taken, too", || async { world.metrics.webhooks.taken.get() == 2 }).await;

    *receiver.manners.lock().unwrap() = VecDeque::from([Manner::Answer("410 Gone\r\n"), TAKEN]);
    patch(world.server.address, "r", &[], &set("n", 2)).await;
    until("it is unwanted", || async { world.metrics.webhooks.dropped.get() == 1 }).await;
    world.server.stop().await;

    // Nobody is there at all: after the last try it is dropped.
    let gone = Receiver::start(&[TAKEN]).await;
    let options = gone.options();
    drop(gone);
    let world = World::start(options).await;
    patch(world.server.address, "r", &[], &set("n", 1)).await;
    until("both are given up", || async { world.metrics.webhooks.dropped.get() == 2 }).await;
    assert_eq!(world.metrics.webhooks.failures.get(), 10);
    world.server.stop().await;
}

/// [P22] A receiver that hangs costs the rooms nothing, and other receivers neither; on the way down the server does not wait
/// for it for long.
#[tokio::test]
async fn a_receiver_that_hangs_harms_nobody() {
    let (hanging, good) = (Receiver::start(&[Manner::Hang]).await, Receiver::start(&[TAKEN]).await);
    let urls =
        [&hanging, &good].map(|receiver| format!("http://{}/hook?k=v", receiver.address).parse().unwrap());
    let mut options = WebhookOptions::new(&urls, Secret::parse_all(SECRET).unwrap()).unwrap();
    (options.debounce, options.request) = (Duration::ZERO, Duration::from_secs(600));
    let world = World::start(options).await;
    for n in 0..100 {
        let room = format!("r{n}");
        assert_eq!(patch(world.server.address, &room, &[], &set("n", n)).await.status, 200);
    }
    until("the other one is told all", || async { world.metrics.webhooks.taken.get() == 200 }).await;
    println!("told {} and {}", good.told().len(), hanging.told().len());
    assert!(hanging.told().len() <= 4, "a few at a time");
    world.server.stop().await;
}

/// [P22] What waits for its time when the server ends is told on the way down.
#[tokio::test]
async fn what_waits_is_told_on_the_way_down() {
    let receiver = Receiver::start(&[TAKEN]).await;
    let mut options = receiver.options();
    options.debounce = Duration::from_secs(3_600);
    let world = World::start(options).await;
    patch(world.server.address, "r", &[], &set("n", 1)).await;
    world.server.stop().await;
    assert_eq!(receiver.kinds(), ["room.created", "room.changed"]);
}

/// [P23] A room that goes soon is told of once for each deadline, and again when it is gone; twice with the same id if two
/// instances see it.
#[tokio::test]
async fn the_end_of_a_room_is_told() {
    let receiver = Receiver::start(&[TAKEN]).await;
    let clocks = TestClocks::new();
    let (log, _) = MemoryLog::with_clock(clocks.wall());
    let log: Arc<dyn Log> = Arc::new(log);
    let metrics = Arc::new(Metrics::new());
    let notices = Notices::start(receiver.options(), &metrics);
    let options = RoomsOptions { notices: notices.clone(), ..clocks.options() };
    let (one, two) = (rooms(Arc::clone(&log), options.clone()), rooms(Arc::clone(&log), options));
    let name = room("r");
    leave_one_edit(&one, &name).await;
    let (mut first, mut second) = (Sweeper::new(Arc::clone(&one)), Sweeper::new(Arc::clone(&two)));
    first.sweep().await.unwrap();
    clocks.pass(DAY - HOUR / 2);
    for sweeper in [&mut first, &mut second] {
        sweeper.sweep().await.unwrap();
        sweeper.sweep().await.unwrap();
    }
    until("both have told", || async { receiver.kinds().len() >= 4 }).await;
    let expiring: Vec<Told> =
        receiver.told().into_iter().filter(|told| told.kind() == "room.expiring").collect();
    assert_eq!(expiring.len(), 2);
    assert_eq!(expiring[0].id, expiring[1].id);
    println!("{}", expiring[0].body);
    assert!(expiring[0].json()["data"]["expires"].as_str().unwrap().ends_with('Z'));
    clocks.pass(HOUR);
    first.sweep().await.unwrap();
    clocks.pass(HOUR);
    assert_eq!(first.sweep().await.unwrap().expired, 1);
    second.sweep().await.unwrap();
    until("it is told", || async { receiver.kinds().contains(&"room.expired".to_owned()) }).await;
    let expired = receiver.told().into_iter().filter(|told| told.kind() == "room.expired").count();
    assert_eq!((expired, receiver.kinds()[0].as_str()), (1, "room.created"));
    assert_eq!(json!(receiver.told()[0].json()["data"]["room"]), "r");
    drop((one, two, InstanceId(0)));
    notices.finish(Duration::from_secs(1)).await;
}
