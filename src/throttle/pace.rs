//! How fast one socket may send: first it is not read for a while, and if it goes on like that it is closed.
//! Pure: time is an argument.
//!
//! A message is charged when it is there, and looked at afterwards; what turns out to have been asked for is
//! forgiven. The first Step2 of a session is forgiven altogether: it is bounded by the size of a document. A
//! later one that was asked for costs what it weighs, so that asking cannot be provoked for free, but waiting
//! for that never closes a socket.

use super::bucket::{Bucket, Rate};
use crate::limits::FLOOD_MS_MAX;

/// How fast a socket may be; `None`: as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceRates {
    /// Messages.
    pub messages: Option<Rate>,
    /// Bytes of messages.
    pub bytes: Option<Rate>,
}

/// What is forgiven of the last charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgiven {
    /// All of it.
    All,
    /// That it made the socket wait; it waits all the same.
    Wait,
}

/// What is to be done before the next message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Read on.
    Go,
    /// Nothing is to be read for so many milliseconds.
    Pause(u64),
    /// Too fast for too long.
    TooFast,
}

/// One socket's pace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    messages: Bucket,
    bytes: Bucket,
    /// Until when nothing is read; 0 if that is over.
    resume_ms: u64,
    /// Pauses since it was last calm, in milliseconds.
    paused_ms: u64,
    last: Charge,
}

/// What the last message cost.
#[derive(Debug, Clone, Copy, Default)]
struct Charge {
    messages: u64,
    bytes: u64,
    /// By so much it made the pause longer.
    paused_ms: u64,
}

impl Pace {
    /// Charges what has come: `messages` of `bytes` together.
    pub fn charge(&mut self, rates: &PaceRates, messages: u64, bytes: u64, now_ms: u64) {
        let owed = |bucket: &mut Bucket, rate: Option<Rate>, cost| {
            rate.map_or(0, |rate| bucket.spend(rate, cost, now_ms))
        };
        let pause_ms =
            owed(&mut self.messages, rates.messages, messages).max(owed(&mut self.bytes, rates.bytes, bytes));
        let was_paused = self.resume_ms > now_ms;
        let before_ms = self.resume_ms.max(now_ms);
        if pause_ms > 0 {
            self.resume_ms = before_ms.max(now_ms.saturating_add(pause_ms));
        } else if !was_paused {
            self.resume_ms = 0;
            if self.paused_ms > 0 && self.is_calm(rates, now_ms) {
                self.paused_ms = 0;
            }
        }
        let paused_ms = self.resume_ms.saturating_sub(before_ms);
        self.paused_ms = self.paused_ms.saturating_add(paused_ms);
        self.last = Charge { messages, bytes, paused_ms };
    }

    /// Forgives the last charge.
    pub fn forgive(&mut self, forgiven: Forgiven) {
        let Charge { messages, bytes, paused_ms } = std::mem::take(&mut self.last);
        self.paused_ms = self.paused_ms.saturating_sub(paused_ms);
        if forgiven == Forgiven::All {
            self.messages.give_back(messages);
            self.bytes.give_back(bytes);
            self.resume_ms = self.resume_ms.saturating_sub(paused_ms);
        }
    }

    /// What is to be done before the next message is read. The time is only asked for while that matters.
    #[must_use]
    pub fn verdict(&self, now_ms: impl FnOnce() -> u64) -> Verdict {
        if self.paused_ms > FLOOD_MS_MAX {
            return Verdict::TooFast;
        }
        if self.resume_ms == 0 {
            return Verdict::Go;
        }
        match self.resume_ms.saturating_sub(now_ms()) {
            0 => Verdict::Go,
            ms => Verdict::Pause(ms),
        }
    }

    fn is_calm(&mut self, rates: &PaceRates, now_ms: u64) -> bool {
        let half = |bucket: &mut Bucket, rate: Option<Rate>| {
            rate.is_none_or(|rate| bucket.is_half_full(rate, now_ms))
        };
        half(&mut self.messages, rates.messages) && half(&mut self.bytes, rates.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{
        BEAT_MS, DOCUMENT_BYTES_MAX, HALF_OPEN_BEATS, SOCKET_BURST_S, SOCKET_BYTES_PER_S,
        SOCKET_MESSAGES_PER_S,
    };

    fn rates() -> PaceRates {
        PaceRates {
            messages: Rate::per_second(SOCKET_MESSAGES_PER_S, SOCKET_BURST_S),
            bytes: Rate::per_second(SOCKET_BYTES_PER_S, SOCKET_BURST_S),
        }
    }

    /// One message, and what becomes of it.
    fn send(pace: &mut Pace, forgiven: Option<Forgiven>, bytes: usize, now_ms: u64) -> Verdict {
        pace.charge(&rates(), 1, bytes as u64, now_ms);
        forgiven.into_iter().for_each(|forgiven| pace.forgive(forgiven));
        pace.verdict(|| now_ms)
    }

    /// A socket that is read as the verdicts say, and always has a message waiting. How many were read until it
    /// was closed, and when that was; it is watched for an hour.
    fn flood(forgiven: Option<Forgiven>, bytes: usize) -> (u64, u64) {
        let (mut pace, mut now, mut read) = (Pace::default(), 0, 0);
        while now < 3_600_000 {
            read += 1;
            match send(&mut pace, forgiven, bytes, now) {
                Verdict::Go => now += u64::from(read % 100 == 0), // reading takes time too
                Verdict::Pause(ms) => now += ms,
                Verdict::TooFast => break,
            }
        }
        (read, now)
    }

    /// [O46] A flood is slowed down to the rate, and closed after ten seconds of that.
    #[test]
    fn floods_are_slowed_and_then_closed() {
        for (what, bytes) in [("tiny messages", 1), ("half a MiB each", 512 << 10)] {
            let (read, now) = flood(None, bytes);
            println!("{what}: {read} read in {now} ms");
            assert!((9_500..=10_600).contains(&now), "slowed for ten seconds: {now}");
            let burst = u64::from(SOCKET_MESSAGES_PER_S * SOCKET_BURST_S);
            assert!(read <= burst + 11 * u64::from(SOCKET_MESSAGES_PER_S), "{read}");
        }
    }

    /// [O47] Forty seconds of dragging that come at once are not slowed, nor is the drag that goes on after.
    #[test]
    fn what_a_stalled_network_held_back_is_welcome() {
        let mut pace = Pace::default();
        let stall_s = BEAT_MS / 1_000 * (u64::from(HALF_OPEN_BEATS) - 1);
        for n in 0..stall_s * 360 {
            assert_eq!(send(&mut pace, None, 200, 0), Verdict::Go, "message {n}");
        }
        for tick in 0..200_000_u64 {
            assert_eq!(send(&mut pace, None, 200, tick * 1_000 / 360), Verdict::Go, "{tick}");
        }
    }

    /// [O47] The first Step2 of the largest document costs nothing. One that is asked for later is paid for, by
    /// a pause, and the edits that waited meanwhile do not close the socket; nor do many of them in a row.
    #[test]
    fn what_was_asked_for_never_closes() {
        let mut pace = Pace::default();
        assert_eq!(send(&mut pace, Some(Forgiven::All), DOCUMENT_BYTES_MAX, 0), Verdict::Go);
        assert_eq!(send(&mut pace, None, 100, 0), Verdict::Go);
        let Verdict::Pause(ms) = send(&mut pace, Some(Forgiven::Wait), DOCUMENT_BYTES_MAX, 0) else {
            panic!("64 MiB are more than a burst");
        };
        println!("a pause of {ms} ms");
        for n in 0..ms * 120 / 1_000 {
            let verdict = send(&mut pace, None, 200, ms + n);
            assert!(matches!(verdict, Verdict::Go | Verdict::Pause(0..=100)), "{n}: {verdict:?}");
        }
        let (read, now) = flood(Some(Forgiven::Wait), 1 << 20);
        assert!(now >= 3_600_000, "closed after {read} at {now}");
        assert!(read < 3_700 + 41, "and yet no faster than the rate: {read}");
    }

    /// [O46] Bursts with rests between them are not added up.
    #[test]
    fn a_rest_is_forgiven() {
        let (mut pace, mut now) = (Pace::default(), 0);
        for round in 0..50 {
            for n in 0..SOCKET_MESSAGES_PER_S * (SOCKET_BURST_S + 5) {
                match send(&mut pace, None, 20, now) {
                    Verdict::Pause(ms) => now += ms,
                    Verdict::Go => {}
                    Verdict::TooFast => panic!("closed in round {round} at {n}"),
                }
            }
            now += 60_000;
        }
    }

    /// [O46] Without rates nothing is held back.
    #[test]
    fn no_rate_is_no_bound() {
        let none = PaceRates { messages: None, bytes: None };
        let mut pace = Pace::default();
        (0..100_000).for_each(|_| pace.charge(&none, 1_000, 1 << 30, 0));
        assert_eq!(pace.verdict(|| 0), Verdict::Go);
    }
}
