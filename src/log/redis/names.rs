//! Which rooms there are: a scan of every primary, never `KEYS`.
//!
//! Redis keeps keys in no order, so a page of names needs a look at all keys. One scan keeps the first
//! [`REDIS_NAMES_MAX`] names above where it began, and the pages that follow are taken from those for a while
//! ([`REDIS_NAMES_MS_MAX`]): a listing of all rooms costs one scan for each so many names. Rooms that are made
//! meanwhile are in the next listing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use redis::cmd;

use super::RedisLog;
use super::connect::{Lane, Primary, Route};
use super::errors::{Called, log_error};
use super::keys::{META_PATTERN, room_of_meta};
use super::reply::{bytes, text};
use crate::ids::RoomName;
use crate::limits::{REDIS_NAMES_MAX, REDIS_NAMES_MS_MAX, REDIS_SCAN_KEYS};
use crate::log::LogError;

/// Names that a scan has found and no page has given yet.
pub(super) struct Listing {
    /// The last name given: the next page begins above it.
    after: RoomName,
    rest: BTreeSet<RoomName>,
    /// There are no names above these.
    complete: bool,
    scanned: Instant,
}

impl RedisLog {
    pub(super) async fn room_names(
        &self,
        after: Option<&RoomName>,
        count_max: usize,
    ) -> Result<Vec<RoomName>, LogError> {
        if count_max == 0 {
            return Ok(Vec::new());
        }
        let known = after.and_then(|after| self.take_listing(after, count_max));
        let mut listing = match known {
            Some(listing) => listing,
            None => self.scan(after, count_max.max(REDIS_NAMES_MAX)).await?,
        };
        let mut page = Vec::new();
        while page.len() < count_max
            && let Some(name) = listing.rest.pop_first()
        {
            page.push(name);
        }
        if let Some(last) = page.last() {
            listing.after = last.clone();
            *self.listing.lock() = Some(listing);
        }
        Ok(page)
    }

    /// What is left of a scan, if it goes on right here and has a page.
    fn take_listing(&self, after: &RoomName, count_max: usize) -> Option<Listing> {
        let fresh = Duration::from_millis(REDIS_NAMES_MS_MAX);
        let mut known = self.listing.lock();
        let good = known.as_ref().is_some_and(|listing| {
            let enough = listing.complete || listing.rest.len() >= count_max;
            listing.after == *after && enough && listing.scanned.elapsed() < fresh
        });
        if good { known.take() } else { None }
    }

    /// The first names above `after`, up to `kept_max`.
    async fn scan(&self, after: Option<&RoomName>, kept_max: usize) -> Result<Listing, LogError> {
        let called = Called { what: "SCAN", key: META_PATTERN, writes: false };
        let primaries = self.connect.primaries().await.map_err(|error| log_error(called, error))?;
        let (mut rest, mut complete) = (BTreeSet::new(), true);
        for primary in &primaries {
            let mut cursor = "0".to_owned();
            loop {
                let (next, found) = self.scan_step(primary, &cursor).await?;
                for name in found.into_iter().filter(|name| after.is_none_or(|after| name > after)) {
                    rest.insert(name);
                    if rest.len() > kept_max {
                        rest.pop_last();
                        complete = false;
                    }
                }
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        let nowhere = || RoomName::parse("-").expect("one letter is a name");
        let after = after.cloned().unwrap_or_else(nowhere);
        Ok(Listing { after, rest, complete, scanned: Instant::now() })
    }

    async fn scan_step(&self, primary: &Primary, cursor: &str) -> Result<(String, Vec<RoomName>), LogError> {
        let called = Called { what: "SCAN", key: META_PATTERN, writes: false };
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(META_PATTERN).arg("COUNT").arg(REDIS_SCAN_KEYS);
        let answer = self.connect.call(Lane::Bulk, Route::Primary(primary), &scan).await;
        let odd = || LogError::Fatal("SCAN: the answer is not as expected".to_owned());
        let redis::Value::Array(mut parts) = answer.map_err(|error| log_error(called, error))? else {
            return Err(odd());
        };
        let (Some(redis::Value::Array(keys)), Some(next)) = (parts.pop(), parts.pop()) else {
            return Err(odd());
        };
        let names = keys.into_iter().filter_map(bytes).filter_map(|key| room_of_meta(&key)).collect();
        Ok((text(&next).ok_or_else(odd)?, names))
    }
}
