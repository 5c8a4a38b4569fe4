//! A call of the log that waits for the simulation, what may become of it, and mistakes that are made on purpose.

use ruang::ids::{InstanceId, RoomName};
use ruang::log::LogError;
use tokio::sync::oneshot;

/// A mistake that is made on purpose, to see that the simulation finds it. All of them are made at the border of
/// the log: nothing in the server knows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Appends are answered before they are stored.
    AnswersFirst,
    /// A batch is taken whatever its sender has seen.
    TakesAnySeen,
    /// What brings back lost records is answered and not stored.
    HealsNothing,
    /// A retry is stored as if it had never come before.
    StoresRetries,
    /// A batch on the bus is put behind what its follower knows, although others stand in between.
    HidesGaps,
    /// Nobody looks whether followers missed something.
    NeverLooks,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done, and answered.
    Go,
    /// It is refused, and nothing is done.
    Refuse(LogError),
    /// It is done, and the answer is lost.
    LoseReply,
    /// It is done, and the answer waits for another ticket.
    HoldReply,
    /// It is done twice, and answered once.
    Twice,
}

/// A call that waits.
pub struct Ticket {
    pub instance: InstanceId,
    pub room: RoomName,
    pub call: String,
    pub arrival: u64,
    pub verdict: oneshot::Sender<Verdict>,
}

impl Ticket {
    pub fn is_append(&self) -> bool {
        self.call.starts_with("append")
    }

    pub fn is_change(&self) -> bool {
        ["put_chunk", "adopt", "trim", "touch"].iter().any(|call| self.call.starts_with(call))
    }

    pub fn is_answer(&self) -> bool {
        self.call == "answer"
    }

    pub fn decide(self, verdict: Verdict) {
        let _ = self.verdict.send(verdict); // whoever called may be gone
    }
}
