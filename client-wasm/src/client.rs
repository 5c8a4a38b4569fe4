//! One client of one room: its side of the conversation, over any number of connections, and all that an app calls.
//!
//! A connection goes through three states. *Gone*: edits are made in the document. *Greeting*: our Step1 is sent; edits wait
//! for the server's Step1, since its answer carries all of them. *Live*: each edit goes out as an Update.

use bytes::Bytes;
use ruang::board::edit::{Author, Edit};
use ruang::board::rules::{Reason, may};
use ruang::board::seed;
use ruang::board::view::RetroRoomState;
use ruang::gate::parse_state_vector;
use ruang::generation::markers;
use ruang::ids::RoomName;
use ruang::limits::{CLIENT_ID_MAX, USER_ID_BYTES_MAX};
use ruang::wire::y_websocket;

use crate::copy::{CopyError, LocalCopy, Taken};
use crate::heard::{Heard, hear};
use crate::output::{ClientError, ClientOptions, Output, Said, Status, Who};
use crate::presence::Presence;
use crate::tally::Tally;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Gone,
    Greeting,
    Live,
}

/// One client of one room.
pub struct Client {
    room: RoomName,
    who: Who,
    copy: LocalCopy,
    connection: Connection,
    /// The first answer of this connection has come.
    synced: bool,
    /// A Step1 of ours is unanswered.
    asked: bool,
    tally: Tally,
    presence: Presence,
    refused: usize,
    position: Option<String>,
    client_id: u64,
}

impl Client {
    /// A client that has nothing and is not connected.
    ///
    /// # Errors
    /// [`ClientError`] if the options cannot be.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let ClientOptions { room, client_id, user, identified, role } = options;
        if client_id == 0 || client_id > CLIENT_ID_MAX {
            return Err(ClientError::Argument("a client id is from 1 to 2^53 - 1".to_owned()));
        }
        Ok(Self {
            room: RoomName::parse(&room)?,
            who: checked(Who { user, identified, role })?,
            copy: LocalCopy::new(client_id),
            connection: Connection::Gone,
            synced: false,
            asked: false,
            tally: Tally::default(),
            presence: Presence::new(client_id),
            refused: 0,
            position: None,
            client_id,
        })
    }

    /// Takes in a copy from the local store, before [`Client::open`]. `unsaved`: how many edits in it were not
    /// acknowledged.
    ///
    /// # Errors
    /// [`ClientError`]: nothing was taken in.
    pub fn load(&mut self, update: &[u8], unsaved: usize) -> Result<Output, ClientError> {
        let taken = self.copy.take(update)?;
        self.tally.restore(unsaved);
        let mut output = Output::default();
        self.took(taken, &mut output, true);
        Ok(self.finish(output))
    }

    /// Takes in an update of another tab, which sends it itself (`send` false), or of the app's own document, which counts as
    /// an edit (`send` true).
    ///
    /// # Errors
    /// [`ClientError`]: nothing was taken in.
    pub fn merge(&mut self, update: &[u8], send: bool) -> Result<Output, ClientError> {
        let taken = self.copy.take(update)?;
        let mut output = Output::default();
        if send && let Some(update) = &taken.update {
            self.wrote(update, &mut output);
        }
        self.took(taken, &mut output, true);
        Ok(self.finish(output))
    }

    /// A socket of `ruang.v1` has opened.
    pub fn open(&mut self) -> Output {
        self.connection = Connection::Greeting;
        (self.synced, self.asked) = (false, true);
        self.tally.opened();
        let mut output = Output::default();
        output.frames.push(y_websocket::sync_step1(&self.copy.state_vector()));
        output.frames.extend(self.presence.announce().map(|message| y_websocket::presence(&message)));
        self.finish(output)
    }

    /// A message has come. Whatever its bytes: if they make no sense, the output says that the socket is to be closed.
    pub fn receive(&mut self, frame: Bytes) -> Output {
        let mut output = Output::default();
        if self.connection == Connection::Gone {
            return self.finish(output); // of a connection that is over
        }
        let taken = match hear(&frame) {
            Ok(messages) => messages.into_iter().try_for_each(|message| self.hear(message, &mut output)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = taken {
            output.close = Some(reason);
        }
        self.finish(output)
    }

    /// The socket is gone.
    pub fn closed(&mut self) -> Output {
        self.connection = Connection::Gone;
        (self.synced, self.asked) = (false, false);
        let presence = self.presence.closed();
        self.finish(Output { presence, ..Output::default() })
    }

    /// Makes an edit: one transaction, one step of undo. `now_ms`: the time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`ClientError`]: nothing was written.
    pub fn edit(&mut self, edit: &Edit, now_ms: u64) -> Result<Output, ClientError> {
        self.may_write()?;
        let Self { copy, who, .. } = self;
        may(edit, who.role, who.identified.then_some(who.user.as_str()), copy.doc())
            .map_err(|reason| ClientError::NotAllowed(reason.to_string()))?;
        let taken = copy.edit(edit, Author { user: &who.user, now_ms })?;
        Ok(self.made(taken))
    }

    /// Begins the board with a template: its bytes, which are the same from everyone.
    ///
    /// # Errors
    /// [`ClientError`]: nothing was written.
    pub fn seed(&mut self, template: &str) -> Result<Output, ClientError> {
        self.may_write()?;
        let template = seed::template(template).ok_or_else(|| ClientError::Template(template.to_owned()))?;
        let taken = self.copy.take(&template.update())?;
        Ok(self.made(taken))
    }

    /// Takes the newest of this client's own edits back; nothing if there is none.
    ///
    /// # Errors
    /// [`ClientError`]: nothing was written.
    pub fn undo(&mut self) -> Result<Output, ClientError> {
        self.may_write()?;
        let taken = self.copy.undo()?;
        Ok(self.made(taken))
    }

    /// Makes again what was taken back last.
    ///
    /// # Errors
    /// [`ClientError`]: nothing was written.
    pub fn redo(&mut self) -> Result<Output, ClientError> {
        self.may_write()?;
        let taken = self.copy.redo()?;
        Ok(self.made(taken))
    }

    /// Shows this state to the others, as JSON; `None`: none any more.
    ///
    /// # Errors
    /// [`ClientError::Presence`]: what was shown is shown on.
    pub fn set_presence(&mut self, state: Option<&str>) -> Result<Output, ClientError> {
        let presence = self.presence.set(state).map_err(ClientError::Presence)?;
        let mut output = Output { presence, ..Output::default() };
        self.announce(&mut output);
        Ok(self.finish(output))
    }

    /// Says again what this client shows: the server forgets what was not renewed for 45 s.
    pub fn renew_presence(&mut self) -> Output {
        let mut output = Output::default();
        self.announce(&mut output);
        self.finish(output)
    }

    /// Who is here, and what each shows.
    #[must_use]
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Another token: another role, say.
    ///
    /// # Errors
    /// [`ClientError::Argument`] if nobody has such a name.
    pub fn set_who(&mut self, who: Who) -> Result<(), ClientError> {
        self.who = checked(who)?;
        Ok(())
    }

    /// The board. `participants` and `last_updated` are not in the document.
    #[must_use]
    pub fn state(&self) -> &RetroRoomState {
        self.copy.state()
    }

    /// The document, to encode and to read.
    #[must_use]
    pub fn copy(&self) -> &LocalCopy {
        &self.copy
    }

    /// How this client stands. Encodes the document: for people who look, not for each change.
    #[must_use]
    pub fn status(&self) -> Status {
        let gate = self.copy.gate();
        let state_vector = gate.state_vector();
        let lives = markers(&self.room, &state_vector);
        Status {
            connected: self.connection != Connection::Gone,
            synced: self.synced,
            unsaved: self.tally.unsaved(),
            refused: self.refused,
            position: self.position.clone(),
            generation: lives.map(|marker| format!("{:014x}", marker.client)).collect(),
            client_id: self.client_id,
            clients: gate.clients(),
            bytes: self.copy.encode().map_or(0, |update| update.len()),
        }
    }

    /// Takes one message of the server in. An error says why the socket is to be closed.
    fn hear(&mut self, message: Heard, output: &mut Output) -> Result<(), String> {
        match message {
            Heard::Update(update, is_answer) => {
                let taken = self.copy.take(&update).map_err(|error| error.to_string())?;
                let gap = taken.gap;
                self.took(taken, output, false);
                if is_answer {
                    self.asked = false;
                    if !std::mem::replace(&mut self.synced, true) {
                        output.said.push(Said::Synced);
                    }
                }
                if gap && !std::mem::replace(&mut self.asked, true) {
                    output.frames.push(y_websocket::sync_step1(&self.copy.state_vector()));
                }
            }
            Heard::Step1(state_vector) => self.answer(&state_vector, output)?,
            Heard::Presence(message) => {
                let (changes, again) = self.presence.take(&message).map_err(|error| error.to_string())?;
                output.presence.extend(changes);
                if again {
                    self.announce(output);
                }
            }
            Heard::Query => self.announce(output),
            Heard::Ack(messages, position) => {
                self.tally.acked(messages).map_err(|_| "an ack of what was not sent".to_owned())?;
                self.position = Some(position.clone());
                output.said.push(Said::Saved { position });
            }
            Heard::Expiry(in_ms) => output.said.push(Said::Expiry { in_ms }),
            Heard::Refused { message, code, reason } => {
                let edits = self.tally.carried_by(message);
                self.refused += edits;
                output.said.push(Said::Refused { code, reason, edits });
            }
            Heard::Unknown => {}
        }
        Ok(())
    }

    /// Answers the server's Step1 with all that it lacks.
    fn answer(&mut self, state_vector: &[u8], output: &mut Output) -> Result<(), String> {
        let theirs = parse_state_vector(state_vector).map_err(|error| error.to_string())?;
        let update = self.copy.encode_since(state_vector).map_err(|error| error.to_string())?;
        self.tally.server_has(theirs.get(self.client_id));
        if self.tally.unsaved() == 0 && !theirs.covers(&self.copy.gate().state_vector()) {
            self.tally.restore(1); // a loaded copy holds more than its store has said
        }
        self.tally.sent_all();
        self.connection = Connection::Live;
        output.frames.push(y_websocket::sync_step2(&update));
        Ok(())
    }

    /// What this client has made itself.
    fn made(&mut self, taken: Taken) -> Output {
        let mut output = Output::default();
        if let Some(update) = &taken.update {
            self.wrote(update, &mut output);
        }
        self.took(taken, &mut output, true);
        self.finish(output)
    }

    /// Counts an edit, and sends it if the server can take it.
    fn wrote(&mut self, update: &[u8], output: &mut Output) {
        self.tally.edited(self.copy.own_clock());
        if self.connection == Connection::Live {
            self.tally.sent_newest();
            output.frames.push(y_websocket::update(update));
        }
    }

    /// Notes what the document has taken in. `tell_gap`: what is missing cannot be asked for.
    fn took(&mut self, taken: Taken, output: &mut Output, tell_gap: bool) {
        output.updates.extend(taken.update);
        output.change.then(taken.change);
        if taken.gap && tell_gap {
            output.said.push(Said::Gap);
        }
        if taken.id_taken {
            output.said.push(Said::ClientIdTaken);
        }
    }

    fn announce(&mut self, output: &mut Output) {
        if self.connection != Connection::Gone {
            output.frames.extend(self.presence.announce().map(|message| y_websocket::presence(&message)));
        }
    }

    fn may_write(&self) -> Result<(), ClientError> {
        if self.copy.is_broken() {
            return Err(CopyError::Broken.into());
        }
        if self.who.role.may_write() {
            return Ok(());
        }
        Err(ClientError::NotAllowed(Reason::ReadOnly.to_string()))
    }

    fn finish(&self, mut output: Output) -> Output {
        output.unsaved = self.tally.unsaved();
        (output.can_undo, output.can_redo) = (self.copy.can_undo(), self.copy.can_redo());
        if self.copy.is_broken() {
            output.said.push(Said::Broken);
        }
        output
    }
}

fn checked(who: Who) -> Result<Who, ClientError> {
    let is_name = !who.user.is_empty()
        && who.user.len() <= USER_ID_BYTES_MAX
        && !who.user.chars().any(char::is_control);
    if is_name {
        return Ok(who);
    }
    Err(ClientError::Argument("a user's name is one line of 1 to 256 bytes".to_owned()))
}
