//! One Redis server, and logs on it.

use std::ops::{Deref, DerefMut};

use ruang::log::redis::{RedisAddress, RedisLog, RedisOpenError, RedisOptions};

pub use super::process::FSYNC;
use super::process::RedisProcess;

/// A server of a test's own.
pub struct Single(RedisProcess);

impl Single {
    /// Starts one, with settings as on its command line; it keeps nothing on disk unless they say so.
    pub fn start(settings: &[&str]) -> Self {
        Self(RedisProcess::alone(settings))
    }

    pub fn address(&self) -> RedisAddress {
        self.url().parse().unwrap()
    }

    /// A log on this server with the server's clock.
    pub async fn log(&self) -> RedisLog {
        self.try_log(RedisOptions::default()).await.unwrap()
    }

    pub async fn try_log(&self, options: RedisOptions) -> Result<RedisLog, RedisOpenError> {
        RedisLog::open(&self.address(), options).await
    }
}

impl Deref for Single {
    type Target = RedisProcess;

    fn deref(&self) -> &RedisProcess {
        &self.0
    }
}

impl DerefMut for Single {
    fn deref_mut(&mut self) -> &mut RedisProcess {
        &mut self.0
    }
}
