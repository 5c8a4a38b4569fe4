//! What requests to the API share, so that all of them together stay within bounds; and no address has all of it.
//!
//! Invariant: whoever waits for what its own address holds is in nobody else's way.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::ApiError;
use crate::limits::{API_MS_MAX, API_SHARES_OF_AN_ADDRESS};
use crate::throttle::Address;

/// Something of which there is so much at a time.
pub(in crate::http) struct Shared {
    /// What is free.
    all: Arc<Semaphore>,
    /// What is free for one address, of those that hold or wait for something.
    own: Mutex<HashMap<Address, Weak<Semaphore>>>,
    own_max: usize,
}

/// A share, given back when this is dropped.
#[derive(Debug)]
pub(in crate::http) struct Share {
    _all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Shared {
    pub(super) fn new(max: usize) -> Self {
        let (part, whole) = API_SHARES_OF_AN_ADDRESS;
        let own_max = (max * part / whole).max(1);
        Self { all: Arc::new(Semaphore::new(max)), own: Mutex::default(), own_max }
    }

    /// How many shares are free.
    pub(super) fn free(&self) -> usize {
        self.all.available_permits()
    }

    /// Waits for a share, but not longer than a request may take. `None`: an address that is not counted.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] if none comes free in time.
    pub(super) async fn share(&self, address: Option<Address>) -> Result<Share, ApiError> {
        let own = address.map(|address| self.own(address));
        let taken = timeout(Duration::from_millis(API_MS_MAX), async {
            // First its own: it stands in the line of all with no more than it may have.
            let own = match own {
                Some(own) => Some(own.acquire_owned().await?),
                None => None,
            };
            Ok::<_, tokio::sync::AcquireError>(Share {
                _all: Arc::clone(&self.all).acquire_owned().await?,
                _own: own,
            })
        });
        taken.await.ok().and_then(Result::ok).ok_or_else(|| {
            ApiError::Unavailable("too many large requests at the same time: try again later".to_owned())
        })
    }

    /// What one address may have. Addresses that hold and wait for nothing are forgotten.
    fn own(&self, address: Address) -> Arc<Semaphore> {
        let mut all = self.own.lock();
        if let Some(own) = all.get(&address).and_then(Weak::upgrade) {
            return own;
        }
        all.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.own_max));
        all.insert(address, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<Address> {
        Some(Address::of([203, 0, 113, last].into()))
    }

    /// [O91] One address does not get all shares, however many it asks for, and those of its requests that wait are in nobody's
    /// way; what is given back goes to who waits, also of the same address.
    #[tokio::test(start_paused = true)]
    async fn no_address_has_all() {
        let shared = Arc::new(Shared::new(16));
        let mut held = Vec::new();
        for _ in 0..12 {
            held.push(shared.share(address(1)).await.unwrap());
        }
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { shared.share(address(1)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        println!("{} of 16 are free while one address holds 12 and waits for 100", shared.free());
        assert_eq!(shared.free(), 4);
        for n in 2..=5 {
            held.push(timeout(Duration::from_millis(1), shared.share(address(n))).await.unwrap().unwrap());
        }
        drop(held);
        let mut got = 0;
        for waits in waiting {
            got += usize::from(waits.await.unwrap().is_ok());
        }
        assert_eq!((got, shared.free()), (100, 16), "each in its turn");
    }

    /// [P11] A request that finds no place waits, but not for ever; and nothing is kept of who has gone.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let shared = Shared::new(1);
        let held = shared.share(None).await.unwrap();
        for from in [None, address(1)] {
            let began = tokio::time::Instant::now();
            assert!(matches!(shared.share(from).await, Err(ApiError::Unavailable(_))));
            assert_eq!(began.elapsed(), Duration::from_millis(API_MS_MAX));
        }
        drop(held);
        for n in 0..=255 {
            shared.share(address(n)).await.unwrap();
        }
        assert!(shared.own.lock().len() <= 1, "addresses that have gone are forgotten");
    }
}
