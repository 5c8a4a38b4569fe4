//! Which tables and logs are alive: the manifest is a log of changes to that.

use std::collections::BTreeMap;

use super::Fault;
use super::bytes::Input;
use super::journal::{self, End};
use super::table::user_key;

/// The order of keys: by bytes. A store with another one is not read.
const COMPARATOR: &[u8] = b"leveldb.BytewiseComparator";

/// A table that is alive.
pub(super) struct TableFile {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// Its first and its last key.
    keys: (Vec<u8>, Vec<u8>),
}

/// What is alive.
#[derive(Default)]
pub(super) struct Manifest {
    /// Logs from here on are in no table yet …
    log: u64,
    /// … nor is this one, in old stores.
    log_before: u64,
    tables: BTreeMap<(u64, u64), TableFile>,
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut manifest = Self::default();
        let records = journal::records(bytes, End::MustBeWhole)?;
        if records.is_empty() {
            return Err(Fault::Damaged("it says nothing"));
        }
        for record in &records {
            manifest.change(record)?;
        }
        Ok(manifest)
    }

    fn change(&mut self, record: &[u8]) -> Result<(), Fault> {
        let mut input = Input::new(record);
        while !input.is_empty() {
            match input.varint()? {
                1 => {
                    if input.blob()? != COMPARATOR {
                        return Err(Fault::Unknown("the store's keys are in an order of its own"));
                    }
                }
                2 => self.log = input.varint()?,
                9 => self.log_before = input.varint()?,
                // The next free number, and the newest sequence.
                3 | 4 => drop(input.varint()?),
                // How far compaction has come in a level.
                5 => drop((input.varint()?, input.blob()?)),
                6 => {
                    let place = (input.varint()?, input.varint()?);
                    self.tables.remove(&place);
                }
                7 => {
                    let (level, number, bytes) = (input.varint()?, input.varint()?, input.varint()?);
                    let keys = (user_key(input.blob()?)?.0.to_vec(), user_key(input.blob()?)?.0.to_vec());
                    self.tables.insert((level, number), TableFile { number, bytes, keys });
                }
                _ => return Err(Fault::Unknown("it holds a change of no known kind")),
            }
        }
        Ok(())
    }

    pub(super) fn has_log(&self, number: u64) -> bool {
        number >= self.log || number == self.log_before
    }

    /// Tables that may hold a key with `from <= key < to`.
    pub(super) fn tables_between<'m>(
        &'m self,
        from: &'m [u8],
        to: &'m [u8],
    ) -> impl Iterator<Item = &'m TableFile> {
        self.tables
            .values()
            .filter(move |table| table.keys.0.as_slice() < to && table.keys.1.as_slice() >= from)
    }
}
