//! How fast one socket may send: first it is not read for a while, and if it goes on like that it is closed.
//! Pure: time is an argument.
//!
//! What a server asks for is no flood. The session's first Step2 costs nothing: it is bounded by the size of a
//! document. A later one that was asked for costs what it weighs, so that asking cannot be provoked for free,
//! but waiting for that never closes a socket.

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

/// What a message is, as far as speed goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Sent by the client's own choice.
    Own,
    /// The first Step2 of a session.
    First,
    /// A later Step2 that the server has asked for.
    Asked,
}

/// What becomes of a socket after a message.
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
    /// Pauses since it was last calm, in milliseconds.
    paused_ms: u64,
}

impl Pace {
    /// Takes a message of so many bytes into account.
    pub fn spend(&mut self, rates: &PaceRates, weight: Weight, bytes: usize, now_ms: u64) -> Verdict {
        if weight == Weight::First {
            return Verdict::Go;
        }
        let owed = |bucket: &mut Bucket, rate: Option<Rate>, cost| {
            rate.map_or(0, |rate| bucket.spend(rate, cost, now_ms))
        };
        let pause = owed(&mut self.messages, rates.messages, 1).max(owed(
            &mut self.bytes,
            rates.bytes,
            bytes as u64,
        ));
        if pause == 0 {
            if self.paused_ms > 0 && self.is_calm(rates, now_ms) {
                self.paused_ms = 0;
            }
            return Verdict::Go;
        }
        if weight == Weight::Own {
            self.paused_ms = self.paused_ms.saturating_add(pause);
            if self.paused_ms > FLOOD_MS_MAX {
                return Verdict::TooFast;
            }
        }
        Verdict::Pause(pause)
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

    /// A socket that is read as the verdicts say, and always has a message waiting. How many were read until it
    /// was closed, and when that was.
    fn flood(weight: Weight, bytes: usize) -> (u64, u64) {
        let (mut pace, mut now, mut read) = (Pace::default(), 0, 0);
        loop {
            read += 1;
            match pace.spend(&rates(), weight, bytes, now) {
                Verdict::Go if read % 100 == 0 => now += 1, // reading takes time too
                Verdict::Go => {}
                Verdict::Pause(ms) => now += ms,
                Verdict::TooFast => return (read, now),
            }
            if now > 3_600_000 {
                return (read, now);
            }
        }
    }

    /// [O46] A flood is slowed down to the rate, and closed after ten seconds of that.
    #[test]
    fn floods_are_slowed_and_then_closed() {
        for (what, bytes) in [("tiny messages", 1), ("half a MiB each", 512 << 10)] {
            let (read, now) = flood(Weight::Own, bytes);
            println!("{what}: {read} read in {now} ms");
            assert!((10_000 - 500..=10_600).contains(&now), "slowed for ten seconds: {now}");
            let burst = u64::from(SOCKET_MESSAGES_PER_S * SOCKET_BURST_S);
            assert!(read <= burst + 11 * u64::from(SOCKET_MESSAGES_PER_S), "{read}");
        }
    }

    /// [O47] Forty seconds of dragging that come at once are not slowed, nor is the drag that goes on after.
    #[test]
    fn what_a_stalled_network_held_back_is_welcome() {
        let mut pace = Pace::default();
        let stall_s = BEAT_MS / 1_000 * (u64::from(HALF_OPEN_BEATS) - 1);
        for n in 0..stall_s * 120 {
            assert_eq!(pace.spend(&rates(), Weight::Own, 200, 0), Verdict::Go, "message {n}");
        }
        for tick in 0..60_000_u64 {
            assert_eq!(pace.spend(&rates(), Weight::Own, 200, tick * 1_000 / 120), Verdict::Go, "{tick}");
        }
    }

    /// [O47] The first Step2 of the largest document costs nothing. One that is asked for later is paid for, by
    /// a pause, and the edits that waited meanwhile do not close the socket; nor do many of them in a row.
    #[test]
    fn what_was_asked_for_never_closes() {
        let mut pace = Pace::default();
        assert_eq!(pace.spend(&rates(), Weight::First, DOCUMENT_BYTES_MAX, 0), Verdict::Go);
        assert_eq!(pace.spend(&rates(), Weight::Own, 100, 0), Verdict::Go);
        let Verdict::Pause(ms) = pace.spend(&rates(), Weight::Asked, DOCUMENT_BYTES_MAX, 0) else {
            panic!("64 MiB are more than a burst");
        };
        println!("a pause of {ms} ms");
        for n in 0..ms * 120 / 1_000 {
            let verdict = pace.spend(&rates(), Weight::Own, 200, ms + n);
            assert!(matches!(verdict, Verdict::Go | Verdict::Pause(0..=100)), "{n}: {verdict:?}");
        }
        let (read, now) = flood(Weight::Asked, 1 << 20);
        assert!(now > 3_600_000, "closed after {read} at {now}");
        assert!(read < 3_700 + 41, "and yet no faster than the rate: {read}");
    }

    /// [O46] Bursts with rests between them are not added up.
    #[test]
    fn a_rest_is_forgiven() {
        let (mut pace, mut now) = (Pace::default(), 0);
        for round in 0..50 {
            for n in 0..SOCKET_MESSAGES_PER_S * (SOCKET_BURST_S + 5) {
                match pace.spend(&rates(), Weight::Own, 20, now) {
                    Verdict::Pause(ms) => now += ms,
                    Verdict::Go => {}
                    Verdict::TooFast => panic!("closed in round {round} at {n}"),
                }
            }
            now += 60_000;
        }
    }
}
