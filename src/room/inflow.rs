//! What is on its way into the log, bounded: of one room, and of all rooms of the instance together.
//!
//! Who finds no place waits, and so does its socket. A store that is away for a while costs this much
//! memory and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::limits::{INFLOW_UNIT_BYTES, INFLOW_UNITS_MAX};

/// See the module. Counts units of `INFLOW_UNIT_BYTES`.
pub(super) struct Inflow {
    room: Semaphore,
    instance: Arc<Semaphore>,
    /// Units that this room holds of the instance's.
    held: AtomicUsize,
}

/// The room has ended.
pub(super) struct Ended;

impl Inflow {
    pub(super) fn new(instance: Arc<Semaphore>) -> Self {
        Self { room: Semaphore::new(INFLOW_UNITS_MAX as usize), instance, held: AtomicUsize::new(0) }
    }

    /// Waits for a place for an update of so many bytes. Returns what it costs.
    ///
    /// # Errors
    /// [`Ended`] if the room has ended.
    pub(super) async fn enter(&self, bytes: usize) -> Result<u32, Ended> {
        let cost = u32::try_from(bytes / INFLOW_UNIT_BYTES + 1).unwrap_or(u32::MAX).min(INFLOW_UNITS_MAX);
        let of_room = self.room.acquire_many(cost).await.map_err(|_| Ended)?;
        let of_instance = self.instance.acquire_many(cost).await.map_err(|_| Ended)?;
        self.held.fetch_add(cost as usize, Ordering::Relaxed);
        of_room.forget();
        of_instance.forget();
        Ok(cost)
    }

    /// Updates that cost so much are decided.
    pub(super) fn leave(&self, cost: u32) {
        self.held.fetch_sub(cost as usize, Ordering::Relaxed);
        self.room.add_permits(cost as usize);
        self.instance.add_permits(cost as usize);
    }

    /// Units of edits under way.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Nobody else is let in, and who waits learns it.
    pub(super) fn close(&self) {
        self.room.close();
    }
}

impl Drop for Inflow {
    /// A room that ends with edits under way gives back what they held.
    fn drop(&mut self) {
        self.instance.add_permits(*self.held.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// [R32] Rooms share what the instance may hold; each has its own bound below it; what a room held when it
    /// ended is free again.
    #[tokio::test]
    async fn rooms_share_a_bound() {
        let instance = Arc::new(Semaphore::new(INFLOW_UNITS_MAX as usize + 1));
        let (one, two) = (Inflow::new(Arc::clone(&instance)), Inflow::new(Arc::clone(&instance)));
        let all = one.enter(usize::MAX).await.ok().unwrap();
        assert_eq!(all, INFLOW_UNITS_MAX, "the largest update has a place");
        assert!(one.enter(0).now_or_never().is_none(), "the room is full");
        assert!(matches!(two.enter(0).await, Ok(1)));
        assert!(two.enter(0).now_or_never().is_none(), "the instance is full");
        one.leave(all);
        assert!(matches!(two.enter(INFLOW_UNIT_BYTES).await, Ok(2)));
        drop((one, two));
        assert_eq!(instance.available_permits(), INFLOW_UNITS_MAX as usize + 1);
    }
}
