//! A person with a document, online and offline, who comes back by any instance.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ruang::ids::RoomName;
use ruang::wire::close::Close;
use ruang::wire::lib0::Reader;
use ruang::wire::{Message, y_websocket};
use yrs::updates::encoder::Encode;
use yrs::{ReadTxn, Transact};

use crate::link::Link;
use crate::random_docs::{Client as Doc, Random, view};
use crate::store::Store;

/// See the module.
pub struct Client {
    pub name: u64,
    pub room: RoomName,
    pub doc: Doc,
    pub connection: Option<Connection>,
    /// How often the document was given up for another life of the room.
    lives: u64,
}

/// One session, as the client knows it.
pub struct Connection {
    /// Index of the instance.
    pub instance: usize,
    pub link: Arc<Link>,
    /// Written to it, and not read yet.
    inbox: VecDeque<Bytes>,
    /// Its Step2 and Update messages, oldest first.
    sent: Vec<Bytes>,
    /// Which of them is its first Step2, from 1. What was sent before it may build on what the room does not have.
    answered: Option<usize>,
    /// Something was written to it: the room has it among its sessions, until it is closed.
    greeted: bool,
    /// How many of them are acknowledged.
    pub acked: usize,
    /// Whether the store had lost the room when the server ended the session; nothing before that.
    pub ended_in_loss: Option<bool>,
}

impl Client {
    pub fn new(name: u64, room: RoomName) -> Self {
        Self { name, room, doc: Doc::new(name, true).mending(), connection: None, lives: 0 }
    }

    pub fn connect(&mut self, instance: usize, link: Arc<Link>) {
        let step1 = y_websocket::sync_step1(&self.doc.doc.transact().state_vector().encode_v1());
        link.send(step1);
        self.doc.take_updates(); // they are in the Step2
        let (inbox, sent) = (VecDeque::new(), Vec::new());
        let (greeted, answered, acked, ended_in_loss) = (false, None, 0, None);
        let connection = Connection { instance, link, inbox, sent, answered, greeted, acked, ended_in_loss };
        self.connection = Some(connection);
    }

    pub fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.link.leave();
        }
    }

    pub fn edit(&mut self, random: &mut Random) {
        self.doc.edit(random);
        let updates = self.doc.take_updates();
        if let Some(connection) = &mut self.connection {
            updates.into_iter().for_each(|update| connection.submit(update.into(), false));
        }
    }

    /// Sends something again that was sent before.
    pub fn repeat(&mut self, random: &mut Random) {
        let Some(connection) = &mut self.connection else { return };
        if !connection.sent.is_empty() {
            let again = connection.sent[random.index(connection.sent.len())].clone();
            connection.submit(again, false);
        }
    }

    /// Begins anew with an empty document, as after a reload without the local copy.
    pub fn reset(&mut self) {
        self.lives += 1;
        self.doc = Doc::new(self.name + 1_000 * self.lives, true).mending();
        self.connection = None;
    }

    /// Takes what was written to it into its inbox, looking at it as it comes: nothing may be shown or acknowledged that was
    /// not stored by now. Returns what came, in short.
    pub fn look(&mut self, store: &Store) -> Result<Vec<String>, String> {
        let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
        let mut came = Vec::new();
        for message in connection.link.take() {
            came.push(
                connection
                    .judge(&message, store, &self.room)
                    .map_err(|why| format!("client {}: {why}", self.name))?,
            );
            connection.inbox.push_back(message);
            connection.greeted = true;
        }
        Ok(came)
    }

    /// Reads up to `count` messages.
    pub fn read(&mut self, count: usize) {
        for _ in 0..count {
            let Some(connection) = &mut self.connection else { return };
            let Some(message) = connection.inbox.pop_front() else { return };
            connection.link.note_read(message.len());
            match y_websocket::decode(&message) {
                Ok((Message::SyncStep1(theirs), _)) => {
                    let step2 = self.doc.step2(&theirs);
                    connection.submit(step2.into(), true);
                }
                Ok((Message::SyncStep2(update) | Message::Update(update), _)) => self.doc.receive(&update),
                _ => {}
            }
        }
    }

    /// Whether it keeps the room open on an instance: not if it is still on its way in, or has been sent away.
    pub fn is_served_by(&self, instance: usize) -> bool {
        let serves = |it: &Connection| it.instance == instance && it.greeted && it.link.closed().is_none();
        self.connection.as_ref().is_some_and(serves)
    }

    /// If the server has ended the session just now, writes down whether the store had lost the room then: what was
    /// written before that may be read much later.
    pub fn note_end(&mut self, is_lost: bool) {
        if let Some(connection) = self.connection.as_mut().filter(|it| it.link.closed().is_some()) {
            connection.ended_in_loss.get_or_insert(is_lost);
        }
    }

    /// Whether the session was ended while the store had lost the room.
    pub fn ended_in_loss(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.ended_in_loss == Some(true))
    }

    /// How the server has ended the session, once all before that is read.
    pub fn closed(&self) -> Option<Close> {
        let connection = self.connection.as_ref()?;
        connection.link.closed().filter(|_| connection.inbox.is_empty())
    }

    pub fn waits(&self) -> usize {
        self.connection.as_ref().map_or(0, |connection| connection.inbox.len())
    }

    pub fn is_acked(&self) -> bool {
        let settled = |connection: &Connection| {
            connection.answered.is_some() && connection.acked == connection.sent.len()
        };
        self.connection.as_ref().is_some_and(settled)
    }

    pub fn view(&self) -> String {
        view(&self.doc.doc)
    }
}

impl Connection {
    fn submit(&mut self, update: Bytes, as_step2: bool) {
        self.link.send(if as_step2 {
            y_websocket::sync_step2(&update)
        } else {
            y_websocket::update(&update)
        });
        self.sent.push(update);
        if as_step2 {
            self.answered.get_or_insert(self.sent.len());
        }
    }

    fn judge(&mut self, message: &Bytes, store: &Store, room: &RoomName) -> Result<String, String> {
        if message.first() == Some(&110) {
            let count = Reader::new(&message[1..]).var_uint().map_err(|error| error.to_string())?;
            return self.on_ack(usize::try_from(count).unwrap_or(usize::MAX), store, room);
        }
        match y_websocket::decode(message) {
            Ok((Message::SyncStep1(_), _)) => Ok("step1".to_owned()),
            Ok((Message::SyncStep2(update) | Message::Update(update), _)) => {
                if !store.was_stored(room, &update) {
                    return Err("[R1, I2] something is shown that is not stored".to_owned());
                }
                Ok("update".to_owned())
            }
            Ok((Message::Presence(_), _)) => Ok("presence".to_owned()),
            other => Err(format!("the server does not send {other:?}")),
        }
    }

    fn on_ack(&mut self, count: usize, store: &Store, room: &RoomName) -> Result<String, String> {
        if count <= self.acked || count > self.sent.len() {
            return Err(format!("[S8] an ack of {count} after {} of {}", self.acked, self.sent.len()));
        }
        let before = std::mem::replace(&mut self.acked, count);
        let Some(answered) = self.answered.filter(|answered| *answered <= count) else {
            return Ok(format!("ack {count}"));
        };
        let first = if before < answered { 0 } else { before };
        match self.sent[first..count].iter().position(|update| !store.was_stored(room, update)) {
            Some(at) => Err(format!("[R10, I1] message {} is acknowledged and not stored", first + at + 1)),
            None => Ok(format!("ack {count}")),
        }
    }
}
