//! The store has lost a part of the room, or all of it: what is here and not there is stored again.
//!
//! Several instances may do so one after the other; each stores only what is still missing, as a
//! record of its own kind under a new epoch. What no instance has may be with a client: each is asked
//! for what it has, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::append::append_until_decided;
use super::super::fan_out::{Author, Shown};
use super::super::load::{self, Loaded, genesis_record};
use super::super::loss::{Became, Sight, judge};
use super::super::read_on::{is_covered, is_same};
use super::super::seat::Seat;
use super::{Actor, End};
use crate::clock::wall_ms;
use crate::heavy::heavy;
use crate::ids::Generation;
use crate::limits::{BUS_READ_AGAIN_MS, HEAL_ASK_MS, HEAL_ASKS, HEAL_TRIES};
use crate::log::LogError;

impl Actor {
    /// The log is not what was seen of it: finds out what became of it, and does what follows.
    ///
    /// # Errors
    /// [`End::Moved`] if what is here is over, or cannot go on.
    pub(super) async fn look(&mut self, why: String) -> Result<(), End> {
        Box::pin(self.look_boxed(why)).await
    }

    async fn look_boxed(&mut self, why: String) -> Result<(), End> {
        // Whatever is under way is decided first: it is stored again with all the rest if it has to be.
        let patience = self.rooms.options.store_patience;
        let mut decided = None;
        if self.append.is_running() {
            let answer = timeout(patience, self.append.decided()).await;
            decided = Some(answer.map_err(|_| End::Away(patience))?);
        }
        let became = timeout(patience, self.what_became()).await.map_err(|_| End::Away(patience))??;
        match became {
            Became::Over => Err(End::Moved(why)),
            Became::Longer => {
                match decided {
                    Some(Ok(appended)) => self.on_reply(appended).await?,
                    Some(Err(refused)) => return Box::pin(self.on_appended(Err(refused))).await,
                    None if self.state().in_flight().is_some() => return Err(End::Moved(why)),
                    None => {}
                }
                self.start_reading();
                Ok(())
            }
            Became::Lost if self.state().brings_life() => Err(End::Moved(why)),
            Became::Lost => self.heal(&why).await,
        }
    }

    /// Asks the store, until it answers: what is here may be all there is.
    async fn what_became(&mut self) -> Result<Became, End> {
        loop {
            let (log, room, seen) = (&self.rooms.log, &self.shared.name, self.state().seen());
            let asked = async {
                let head = log.open(room).await?;
                let stands = match &head {
                    Some(head) if head.base < seen.last.seq && seen.last.seq < head.last.seq => {
                        let records = log.read(room, seen.last.seq - 1, 1).await?;
                        is_same(records.first(), seen.last)
                    }
                    Some(head) => is_covered(head, seen.last).unwrap_or(true),
                    None => true,
                };
                Ok::<_, LogError>((head, stands, log.tombstone(room).await?))
            };
            match asked.await {
                Ok((head, stands, tombstone)) => {
                    let (tombstone_then, is_over) = (self.line.tombstone, self.is_deadline_over());
                    let sight = Sight { seen, tombstone: tombstone_then, is_over };
                    return Ok(judge(&sight, head.as_ref(), stands, tombstone));
                }
                Err(error) => self.wait_for_store(&error).await?,
            }
        }
    }

    async fn wait_for_store(&mut self, error: &LogError) -> Result<(), End> {
        if !error.is_temporary() || self.rooms.stop.is_cancelled() {
            return Err(End::Moved(error.to_string()));
        }
        sleep(Duration::from_millis(BUS_READ_AGAIN_MS)).await;
        Ok(())
    }

    async fn heal(&mut self, why: &str) -> Result<(), End> {
        // What is left of it in the state does not matter: another one takes its place.
        let _ = self.withdraw_exact(false);
        self.shared.clients.lock().forget();
        for _ in 0..HEAL_TRIES {
            let mut loaded = self.load_what_is_left().await?;
            let rooms = &self.rooms;
            loaded.state.choose_by(&rooms.options.boards, &self.shared.name);
            if loaded.state.is_new() {
                loaded.state.set_kind(self.state().kind()); // the same room goes on
            }
            loaded.state.bound_document(rooms.options.limits.document_bytes);
            if let Some((loaded, healed_bytes)) = self.heal_onto(loaded).await? {
                tracing::error!(
                    room = %self.shared.name.log_id(), why, healed_bytes,
                    "the store has lost a part of a room; what was in memory here is stored again, and clients are \
                     asked for theirs. Check the store's persistence and its memory policy"
                );
                self.rooms.metrics.rooms_healed.inc();
                return self.go_on_with(loaded).await;
            }
        }
        Err(End::Moved(format!("others heal the room at the same time: {why}")))
    }

    /// Loads what the store has, until it can be read: what is here may be all there is.
    async fn load_what_is_left(&mut self) -> Result<Loaded, End> {
        let patience = self.rooms.options.store_patience;
        let mut fails_since = None;
        loop {
            let rooms = &self.rooms;
            let life = (rooms.instance, rooms.next_life());
            let error = match load::load(&rooms.log, &self.shared.name, life, rooms.options.ttl).await {
                Ok(loaded) => return Ok(loaded),
                Err(error) => error,
            };
            let since = *fails_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= patience {
                return Err(End::Away(patience));
            }
            self.wait_for_store(&LogError::Unavailable(error.to_string())).await?;
        }
    }

    /// Stores what is here and not in what was loaded. `None`: somebody was faster, look again.
    async fn heal_onto(&mut self, mut loaded: Loaded) -> Result<Option<(Loaded, usize)>, End> {
        let lacking = loaded.state.seen_vector();
        let lost = self.with_state(true, move |state| state.lacking(&lacking)).await??;
        if loaded.state.is_new()
            && let Some(marker) = self.state().lives().next()
        {
            // The same life goes on: those who hold copies of it are at home.
            let generation = Generation { nonce: marker.nonce };
            let kind = loaded.state.kind();
            let genesis = genesis_record(&self.shared.name, generation, self.rooms.instance, kind);
            loaded.state.set_genesis(genesis.map_err(|error| End::Moved(error.to_string()))?);
        }
        let claims = self.state().claims_unknown_to(&loaded.state);
        let begun = heavy(move || {
            let has_begun = loaded.state.begin_heal(&lost, claims, wall_ms());
            (loaded, has_begun)
        });
        let (mut loaded, has_begun) = begun.await?;
        if !has_begun.map_err(|error| End::Moved(error.to_string()))? {
            return Ok(Some((loaded, 0)));
        }
        let after = loaded.state.committed();
        let Some(batch) = loaded.state.next_batch() else { return Ok(Some((loaded, 0))) };
        let bytes = batch.records.iter().map(|record| record.encoded.len()).sum();
        let (log, room) = (Arc::clone(&self.rooms.log), self.shared.name.clone());
        // It goes on alone if the room ends meanwhile, and for as long as the store lives: nobody else may have what it
        // brings. A store that is away must keep neither a server that stops, nor people who can edit elsewhere.
        let healing = tokio::spawn(append_until_decided(log, room, batch, None));
        let (stop, patience) = (self.rooms.stop.clone(), self.rooms.options.store_patience);
        let answer = tokio::select! {
            answer = healing => answer?,
            () = stop.cancelled() => return Err(End::Moved("the server stops".to_owned())),
            () = sleep(patience) => return Err(End::Away(patience)),
        };
        match answer {
            Ok(appended) if appended.first.seq <= after.seq => Ok(None),
            Ok(appended) => {
                let healed = heavy(move || {
                    let healed = loaded.state.on_committed(&appended);
                    (loaded, healed)
                });
                let (loaded, healed) = healed.await?;
                healed?;
                Ok(Some((loaded, bytes)))
            }
            Err(refused) if matches!(refused.error, LogError::Moved(_)) => Ok(None),
            Err(refused) => Err(End::Unsettled(refused.error)),
        }
    }

    /// The room goes on with what was loaded and healed: its sessions get what they lack, edits that were under
    /// way are stored with it, and everyone is asked for what the store may still lack.
    async fn go_on_with(&mut self, loaded: Loaded) -> Result<(), End> {
        let Loaded { mut state, upkeep, tombstone, .. } = loaded;
        let mut old = self.state.take().ok_or_else(|| End::Moved("the room has no state".to_owned()))?;
        let joined = heavy(move || {
            let news = state.lacking(&old.seen_vector());
            let taken = state.take_over(&mut old);
            (state, news, taken)
        });
        let (state, news, taken) = joined.await?;
        let (acks, cost) = taken.map_err(|error| End::Moved(error.to_string()))?;
        self.state = Some(Box::new(state));
        self.shared.inflow.leave(cost);
        self.upkeep = upkeep;
        let seen = self.state().seen();
        self.line.begin_again(tombstone, seen);
        self.note_size();
        if self.fan_out.add(Shown::new(news?.into(), Author::Several), self.seats.len()) {
            self.release().await;
        }
        self.ack(acks, seen.last);
        let mut seats: Vec<Arc<Seat>> = self.seats.all().cloned().collect();
        seats.sort_by_key(|seat| seat.session); // who came first is asked first
        self.line.ask(seats, Instant::now());
        self.start_reading();
        Ok(())
    }

    /// Asks some of the sessions for what they have, so that not all answer at once.
    pub(super) fn ask_some(&mut self, now: Instant) {
        let count = self.seats.len() / HEAL_ASKS + 1;
        for seat in self.line.take_asked(now, count, now + Duration::from_millis(HEAL_ASK_MS)) {
            self.state_mut().pardon(seat.session);
            seat.put(|post| post.gap = true);
        }
    }

    /// Asks those of whom something was left out: its owner may have gone, or they hold what builds on what the
    /// owner has brought by now.
    pub(super) fn ask_owing(&mut self) {
        let owing = self.state_mut().take_owing();
        for seat in owing.into_iter().filter_map(|session| self.seats.get(session)) {
            seat.put(|post| post.gap = true);
        }
    }
}
