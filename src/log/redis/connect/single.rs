//! One Redis server.

use std::sync::Arc;

use redis::Client;
use tokio::sync::Notify;

use super::link::{Dial, Link};
use super::{Lane, Primary};
use crate::log::redis::errors::CallError;

/// See the module.
pub(in crate::log::redis) struct Single {
    write: Link,
    bulk: Link,
    primary: Primary,
    again: Arc<Notify>,
}

impl Single {
    pub(super) async fn open(client: &Client) -> Result<Self, CallError> {
        let again = Arc::new(Notify::new());
        let open =
            |lane: Lane| Link::open(Dial::Client(Box::new(client.clone())), lane.bound(), Arc::clone(&again));
        let (write, bulk) = tokio::try_join!(open(Lane::Write), open(Lane::Bulk))?;
        Ok(Self { write, bulk, primary: Primary { name: "Redis".to_owned() }, again })
    }

    pub(super) fn link(&self, lane: Lane) -> &Link {
        match lane {
            Lane::Write => &self.write,
            Lane::Bulk => &self.bulk,
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
    }
}
