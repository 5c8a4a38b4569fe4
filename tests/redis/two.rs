//! Two instances of one store, with people on both.

use std::time::Duration;

use ruang::log::Log;
use ruang::log::record::Kind;
use ruang::wire::y_websocket;
use tokio::time::{Instant, sleep};

use crate::harness::{Client, PATIENCE, Server, kinds_of};
use crate::traffic::open;

/// Longer than the longest wait of an instance between two tries, and than an answer may take.
const AWAY: Duration = Duration::from_millis(2_500);

/// Two instances, each with a log of its own on the same store; Ann and Amy are on one, Bob is on the other.
pub struct Two {
    pub one: Server,
    pub two: Server,
    pub ann: Client,
    pub amy: Client,
    pub bob: Client,
    /// How an instance that comes later gets to the store.
    store: String,
    /// What was written by [`Self::edit`]: all must have it in the end.
    written: Vec<String>,
    /// Of the newest presence of Ann's.
    presence: u8,
}

impl Two {
    pub async fn on(store: &str) -> Self {
        Self::through(store, store, store).await
    }

    /// Each instance by a way of its own, and all who look at the store later by a third one.
    pub async fn through(one: &str, two: &str, store: &str) -> Self {
        let one = Server::start(open(one).await).await;
        let two = Server::start(open(two).await).await;
        let mut ann = one.connect_for_acks("r").await;
        let mut amy = one.connect_for_acks("r").await;
        let mut bob = two.connect_for_acks("r").await;
        for client in [&mut ann, &mut amy, &mut bob] {
            client.sync().await;
        }
        ann.set("first", "1").await;
        bob.until_set("first", "1").await;
        amy.until_set("first", "1").await;
        Self { one, two, ann, amy, bob, store: store.to_owned(), written: Vec::new(), presence: 0 }
    }

    pub fn everyone(&mut self) -> [&mut Client; 3] {
        [&mut self.ann, &mut self.amy, &mut self.bob]
    }

    /// An edit on each side, seen on the other.
    pub async fn exchange(&mut self, what: &str) {
        println!("{what}: edits go both ways");
        let key = what.replace(' ', "-");
        self.ann.set(&format!("ann-{key}"), "x").await;
        self.bob.set(&format!("bob-{key}"), "y").await;
        self.bob.until_set(&format!("ann-{key}"), "x").await;
        self.ann.until_set(&format!("bob-{key}"), "y").await;
    }

    /// Everyone edits, and waits for nothing.
    pub async fn edit(&mut self, what: &str, count: usize) {
        for n in 0..count {
            for (client, who) in self.everyone().into_iter().zip(["ann", "amy", "bob"]) {
                client.set(&format!("{what}-{who}-{n}"), "x").await;
            }
            let keys = ["ann", "amy", "bob"].map(|who| format!("{what}-{who}-{n}"));
            self.written.extend(keys);
        }
    }

    /// Takes in what comes, for as long as a store is away.
    pub async fn pass(&mut self) {
        let until = Instant::now() + AWAY;
        while Instant::now() < until {
            for client in self.everyone() {
                let stays = client.step(Duration::from_millis(20)).await;
                assert!(stays.is_ok(), "somebody is sent away with {stays:?}");
            }
        }
    }

    /// While the store takes nothing: everyone edits on, nobody is shown or told anything, and people of one
    /// instance still see each other.
    pub async fn edit_unseen(&mut self, what: &str) {
        println!("{what}: the store takes nothing");
        let heard = |client: &&mut Client| (client.received.len(), client.acked);
        // What was stored before is shown and acked.
        self.meet(what).await;
        let before = self.everyone().each_ref().map(heard);
        self.edit(&what.replace(' ', "-"), 10).await;
        let news = self.announce().await;
        self.pass().await;
        assert_eq!(
            self.everyone().each_ref().map(heard),
            before,
            "{what}: something unstored is shown or acked"
        );
        assert!(news(&self.amy), "{what}: Amy sees Ann");
    }

    /// Ann moves her cursor. Returns whether somebody has seen that.
    pub async fn announce(&mut self) -> impl Fn(&Client) -> bool + use<> {
        self.presence += 1;
        let news = format!("{{\"n\":{}}}", 10 + self.presence);
        let update = [&[1, 7, self.presence, 8], news.as_bytes()].concat();
        self.ann.send(y_websocket::presence(&update)).await;
        move |client| client.presence.iter().any(|update| String::from_utf8_lossy(update).contains(&news))
    }

    /// Waits until everyone has everything, and every edit is acked. Says how long that took.
    pub async fn meet(&mut self, what: &str) {
        let began = Instant::now();
        loop {
            let written = self.written.clone();
            let everyone = self.everyone();
            let met = everyone.iter().all(|client| {
                client.acked == client.sent && written.iter().all(|key| client.get(key).is_some())
            });
            if met && everyone.iter().all(|client| client.clocks() == everyone[0].clocks()) {
                break;
            }
            let states = everyone.each_ref().map(|client| (client.sent, client.acked, client.doc_json()));
            assert!(began.elapsed() < PATIENCE, "{what}: {states:#?}");
            for client in everyone {
                let stays = client.step(Duration::from_millis(5)).await;
                assert!(stays.is_ok(), "{what}: somebody is sent away with {stays:?}");
            }
        }
        println!("{what}: everyone has everything after {} ms", began.elapsed().as_millis());
    }

    /// All is the same everywhere, also for an instance that has only the store.
    pub async fn agree(&mut self) {
        let third = Server::start(open(&self.store).await).await;
        let mut reader = third.join("r").await;
        let began = Instant::now();
        loop {
            for client in self.everyone().into_iter().chain([&mut reader]) {
                let _ = client.step(Duration::from_millis(20)).await;
            }
            if self.everyone().iter().all(|client| client.clocks() == reader.clocks()) {
                break;
            }
            let documents = self.everyone().each_ref().map(|client| client.doc_json());
            assert!(began.elapsed() < PATIENCE, "{documents:#?}\n{}", reader.doc_json());
        }
        let document = reader.doc_json();
        assert!(self.everyone().iter().all(|client| client.doc_json() == document));
        assert!(self.written.iter().all(|key| reader.get(key).is_some()));
        self.is_seen_by(&mut reader).await;
        drop(reader);
        third.stop().await;
    }

    /// Ann is seen on the other instance and by this one. She renews her presence, as browsers do: one message may be lost.
    async fn is_seen_by(&mut self, reader: &mut Client) {
        let began = Instant::now();
        loop {
            let news = self.announce().await;
            for client in [&mut self.bob, reader] {
                let until = Instant::now() + Duration::from_millis(500);
                while !news(client)
                    && client.step(until.saturating_duration_since(Instant::now())).await.unwrap()
                {
                }
            }
            if news(&self.bob) && news(reader) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "Ann is not seen");
        }
    }

    /// Someone who comes now, by the first instance, gets what is there.
    pub async fn welcome(&mut self, key: &str) {
        let mut late = self.one.join("r").await;
        late.until(&format!("{key} for who comes later"), |late| late.get(key).is_some()).await;
    }

    /// Both instances end and begin again, with something in between; everyone comes back with the document that they
    /// have.
    pub async fn restart_instances(mut self, between: impl FnOnce()) -> Self {
        for client in self.everyone() {
            let _ = client.socket.close(None).await;
        }
        let Self { one, two, store, .. } = self;
        tokio::join!(one.stop(), two.stop());
        between();
        let (one, two) = (Server::start(open(&store).await).await, Server::start(open(&store).await).await);
        let mut people = Self { one, two, store, ..self };
        let (one, two) = (people.one.url("r"), people.two.url("r"));
        for (client, url) in people.everyone().into_iter().zip([&one, &one, &two]) {
            client.reconnect(url, Some("ruang.v1")).await;
            client.sync().await;
        }
        people
    }

    pub async fn stop(self) {
        for server in [&self.one, &self.two] {
            let metrics = server.app.rooms.metrics();
            assert_eq!((metrics.rooms_failed.get(), metrics.records_set_aside.get()), (0, 0));
        }
        drop((self.ann, self.amy, self.bob));
        self.one.stop().await;
        self.two.stop().await;
    }

    pub fn healed(&self) -> u64 {
        [&self.one, &self.two].map(|server| server.app.rooms.metrics().rooms_healed.get()).iter().sum()
    }
}

/// What stands in the log of the room, record by record, as soon as it can be read.
pub async fn kinds(store: &str) -> Vec<Kind> {
    let (log, room) = (open(store).await, "r".parse().unwrap());
    let began = Instant::now();
    let records = loop {
        match log.read(&room, 0, 10_000).await {
            Ok(records) => break records,
            Err(error) => assert!(error.is_temporary() && began.elapsed() < PATIENCE, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    kinds_of(&records)
}
