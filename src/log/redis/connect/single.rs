//! One Redis server.

use std::sync::Arc;

use redis::Client;
use tokio::sync::Notify;

use super::link::{Dial, Link};
use super::{Ears, Lane, Primary, Told};
use crate::log::redis::address::RedisAddress;
use crate::log::redis::errors::CallError;

/// See the module.
pub(in crate::log::redis) struct Single {
    write: Link,
    bulk: Link,
    push: Link,
    primary: Primary,
    again: Arc<Notify>,
}

impl Single {
    pub(super) async fn open(
        client: &Client,
        address: &RedisAddress,
        ears: &Ears,
    ) -> Result<Self, CallError> {
        let again = Arc::new(Notify::new());
        let open = |lane: Lane| Link::open(Dial::client(client), lane.bound(), Told::of(lane, &again, ears));
        let (write, bulk, push) = tokio::try_join!(open(Lane::Write), open(Lane::Bulk), open(Lane::Push))?;
        Ok(Self { write, bulk, push, primary: Primary { name: address.to_string() }, again })
    }

    pub(super) fn link(&self, lane: Lane) -> &Link {
        match lane {
            Lane::Write => &self.write,
            Lane::Bulk => &self.bulk,
            Lane::Push => &self.push,
        }
    }

    pub(super) fn primary(&self) -> &Primary {
        &self.primary
    }

    /// Resolves when a connection was made again.
    pub(super) async fn reconnected(&self) {
        self.again.notified().await;
    }

    pub(super) fn close(&self) {
        self.write.close();
        self.bulk.close();
        self.push.close();
    }
}
