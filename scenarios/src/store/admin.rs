//! The harness's own connection to the store.

use std::{fmt, time::Duration};

use anyhow::{Context, Result, ensure};
use redis::{Commands, Connection};

use super::{KEYS, key};

/// Keys per pipeline while loading: about a megabyte, which either store takes in one go.
pub(super) const LOAD_BATCH: u32 = 1_000;
/// Longer than any pause or load the harness asks for.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection.
pub(super) struct Admin {
    pub(super) connection: Connection,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin")
    }
}

impl Admin {
    pub(super) fn connect(url: &str) -> Result<Self> {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        connection.set_read_timeout(Some(ADMIN_TIMEOUT))?;
        connection.set_write_timeout(Some(ADMIN_TIMEOUT))?;
        redis::cmd("PING").exec(&mut connection)?;
        Ok(Self { connection })
    }

    pub(super) fn run(&mut self, command: &redis::Cmd) -> Result<()> {
        Ok(command.exec(&mut self.connection)?)
    }

    /// One section of INFO, as pairs.
    pub(super) fn info(&mut self, section: &str) -> Result<Vec<(String, String)>> {
        let text: String = redis::cmd("INFO").arg(section).query(&mut self.connection)?;
        Ok(text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(k, v)| (k.to_owned(), v.trim().to_owned()))
            .collect())
    }

    pub(super) fn store_name(&mut self) -> Result<String> {
        let info = self.info("server")?;
        let value = |key: &str| info.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        if value("fake_redis_version").is_some() {
            return Ok("embedded".to_owned());
        }
        Ok(format!("redis {}", value("redis_version").context("INFO names no redis_version")?))
    }

    pub(super) fn process_id(&mut self) -> Result<u32> {
        let info = self.info("server")?;
        let id = info.iter().find(|(key, _)| key == "process_id").context("INFO names no process_id")?;
        Ok(id.1.parse()?)
    }

    /// A store that is somebody's must not be paused, refused and overwritten by us.
    pub(super) fn refuse_foreign_keys(&mut self, url: &str) -> Result<()> {
        let size: u64 = redis::cmd("DBSIZE").query(&mut self.connection)?;
        let ours: u64 = self.connection.exists((0..KEYS).map(key).collect::<Vec<_>>())?;
        ensure!(
            size == ours,
            "--redis {url}: its database holds {} keys that are not ours; a run overwrites keys, pauses the store and refuses \
             commands, so give it a Redis of its own",
            size - ours
        );
        Ok(())
    }

    pub(super) fn keys_in_batches(&mut self, mut command: impl FnMut(&mut redis::Pipeline, u32)) -> Result<()> {
        for first in (0..KEYS).step_by(LOAD_BATCH as usize) {
            let mut pipeline = redis::pipe();
            for n in first..(first + LOAD_BATCH).min(KEYS) {
                command(&mut pipeline, n);
            }
            pipeline.exec(&mut self.connection)?;
        }
        Ok(())
    }
}
