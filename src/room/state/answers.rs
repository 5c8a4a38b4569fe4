//! What a room answers from its committed document, with encodings that all who ask share.

use bytes::Bytes;

use super::State;
use crate::document::FoldError;
use crate::gate::{self, StateVector};
use crate::wire::y_websocket;

/// Encoded frames for one committed position, shared by all who ask.
#[derive(Default)]
pub(super) struct Answers {
    everything: Option<Everything>,
    /// Step2 for a client that has every block: the whole delete set.
    nothing_new: Option<Bytes>,
    state_vector: Option<StateVector>,
}

/// Step2 for a client that has nothing.
pub(crate) struct Everything {
    frame: Bytes,
    /// Of the update at its end.
    len: usize,
}

impl Everything {
    /// Of a whole document, as one update.
    pub(crate) fn new(document: &[u8]) -> Self {
        Self { frame: y_websocket::sync_step2_frame(document), len: document.len() }
    }
}

impl State {
    /// Answers with what a loaded room's snapshot says, as long as nothing else is committed.
    pub(crate) fn answer_with(&mut self, everything: Everything) {
        self.encoded_bytes = everything.len;
        self.answers.everything = Some(everything);
    }

    /// The Step2 for a client that has `theirs`, as a whole frame.
    ///
    /// # Errors
    /// [`FoldError`] if the document cannot be encoded: load the room again.
    pub(crate) fn step2(&mut self, theirs: &StateVector) -> Result<Bytes, FoldError> {
        if theirs.is_empty() {
            return Ok(self.encode_everything().frame.clone());
        }
        if !theirs.covers(self.state_vector()?) {
            return Ok(y_websocket::sync_step2_frame(&self.document.diff(&theirs.encode())?));
        }
        match &self.answers.nothing_new {
            Some(answer) => Ok(answer.clone()),
            None => {
                let deletes_only = self.document.diff(&theirs.encode())?;
                Ok(self.answers.nothing_new.insert(y_websocket::sync_step2_frame(&deletes_only)).clone())
            }
        }
    }

    /// The whole document as one update, from the same memory as the frame that has it.
    pub(crate) fn everything(&mut self) -> Bytes {
        let Everything { frame, len } = self.encode_everything();
        frame.slice(frame.len() - len..)
    }

    fn encode_everything(&mut self) -> &Everything {
        if self.answers.everything.is_none() {
            let full = self.document.encode_full();
            self.encoded_bytes = full.len();
            self.answers.everything = Some(Everything::new(&full));
        }
        self.answers.everything.as_ref().expect("it was set just now")
    }

    /// One frame with an update of all that a session lacks that covers `theirs`.
    ///
    /// # Errors
    /// As [`State::step2`].
    pub(crate) fn catch_up(&mut self, theirs: &[u8]) -> Result<Bytes, FoldError> {
        Ok(y_websocket::update_frame(&self.document.diff(theirs)?))
    }

    /// The committed state vector.
    ///
    /// # Errors
    /// As [`State::step2`].
    pub(crate) fn state_vector(&mut self) -> Result<&StateVector, FoldError> {
        if self.answers.state_vector.is_none() {
            self.answers.state_vector = Some(gate::parse_state_vector(&self.document.state_vector())?);
        }
        Ok(self.answers.state_vector.as_ref().expect("it was set just now"))
    }
}
