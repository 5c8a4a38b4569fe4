//! Who is here: told to the sessions, and to other instances.

use std::time::Duration;

use tokio::time::Instant;

use super::Actor;
use crate::ids::InstanceId;
use crate::limits::{PRESENCE_TICK_MS, ROUND_SESSIONS_MIN};
use crate::log::bus::Whisper;
use crate::wire::voice::SharedFrame;

impl Actor {
    /// A tick is due soon, however far away the next sweep is.
    pub(super) fn on_presence_changed(&mut self) {
        let (small, large) = PRESENCE_TICK_MS;
        let tick = if self.seats.len() > ROUND_SESSIONS_MIN { large } else { small };
        let due = Instant::now() + Duration::from_millis(tick);
        self.presence_due = Some(self.presence_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Sends what changed in presence, and sees when the next person may have to go.
    pub(super) fn tick_presence(&mut self) {
        let now_ms = self.shared.steady_ms();
        let mut presence = self.shared.presence.lock();
        let sweep_ms = presence.sweep(now_ms);
        let message = presence.end_tick();
        let stripped = presence.take_stripped();
        let ours = message.as_ref().filter(|_| self.line.hears()).map(|&(tick, _)| presence.ours_in(tick));
        drop(presence);
        self.rooms.metrics.owners.presence_stripped.inc_by(stripped);
        ours.into_iter().flatten().for_each(|update| self.whisper(Whisper::Presence(update)));
        if let Some((tick, message)) = message {
            let message = SharedFrame::new(message);
            self.shared.ring.set_presence(tick, message.clone());
            for seat in self.seats.all() {
                seat.show_presence(tick, &message);
            }
        }
        self.presence_due = sweep_ms.map(|at_ms| Instant::now() + Duration::from_millis(at_ms - now_ms));
    }

    /// Another instance says something that is not stored.
    pub(super) fn on_whisper(&mut self, from: InstanceId, whisper: Whisper) {
        if from == self.rooms.instance {
            return;
        }
        match whisper {
            Whisper::Presence(update) => {
                let now_ms = self.shared.steady_ms();
                if self.shared.presence.lock().announce_of(from, &update, now_ms) {
                    self.shared.presence_changed.notify_one();
                }
            }
            Whisper::Stateless(payload) => self.tell_others(None, &payload),
            Whisper::WhoIsHere => self.tell_who_is_here(),
        }
    }

    /// The bus was lost and is back: presence that was whispered meanwhile, either way, was heard by nobody.
    pub(super) fn say_who_is_here(&self) {
        if !self.seats.is_empty() {
            self.whisper(Whisper::WhoIsHere);
            self.tell_who_is_here();
        }
    }

    fn tell_who_is_here(&self) {
        let here = self.shared.presence.lock().ours();
        here.into_iter().for_each(|update| self.whisper(Whisper::Presence(update)));
    }

    pub(super) fn whisper(&self, whisper: Whisper) {
        self.rooms.log.whisper(&self.shared.name, self.rooms.instance, whisper);
    }
}
