//! A retrospective board as JSON (`RetroRoomState`) becomes a document in the layout of boards. Pure.
//!
//! | JSON | root | entries |
//! |---|---|---|
//! | `meta` | `meta` | each value as it is |
//! | `items`: objects by id, or a list of objects with `id` | `items` | id → a map of its fields |
//! | `groups`: the same | `groups` | id → a map of its fields |
//! | `itemPositions`: id → `{x, y}` | `itemPositions` | id → the pair, as one value |
//! | `itemGroups`: id → group id | `itemGroups` | the same |
//! | `signatureColors`: signature → color | `signatureColors` | the same |
//! | `allUserVotes`: user → target → count | `votes` | `user/target` → count ([`schema::vote_key`]) |
//! | `actionItems`: a list | `actionItems` | id → a map of its fields, and `order` |
//!
//! `participants` and `lastUpdated` follow from a room's log and are not written.
//!
//! The same bytes give the same blocks, so that a board that is imported twice is there once.

use serde_json::{Map as Object, Value};
use sha2::{Digest, Sha256};
use yrs::{Any, Doc, Map, MapPrelim, MapRef, ReadTxn, StateVector, Transact, TransactionMut};

use crate::board::schema;
use crate::ids::ClientId;
use crate::limits::VALUE_DEPTH_MAX;

/// What a room knows without being told.
const FOLLOWS: [(&str, &str); 2] = [
    ("participants", "participants: they are those who write in the room"),
    ("lastUpdated", "lastUpdated: it follows from the room's log"),
];

/// What is expected of ids.
const ID: &str = "an id of one line, not empty";

/// A whole number that JavaScript keeps apart from its neighbours.
const WHOLE_MAX: u64 = 1 << 53;

/// A board as a document.
pub struct Board {
    /// The document, as one update V1.
    pub update: Vec<u8>,
    /// What of the JSON is not in it, each a phrase.
    pub not_kept: Vec<String>,
}

/// Why JSON is no board. The text names the place.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// No JSON.
    #[error("this is no JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// None of the parts of a board.
    #[error("this is no board: none of items, itemPositions, itemGroups, groups, allUserVotes, … is there")]
    NoBoard,
    /// A part that is something else.
    #[error("{place}: {expected} is expected")]
    Unexpected {
        /// Where in the JSON.
        place: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// Reads a board.
///
/// # Errors
/// [`SeedError`].
pub fn board(json: &[u8]) -> Result<Board, SeedError> {
    let state: Value = serde_json::from_slice(json)?;
    let Value::Object(state) = state else { return Err(SeedError::NoBoard) };
    let doc = Doc::with_client_id(client_of(json));
    let writer = Writer { doc: &doc };
    let mut not_kept = Vec::new();
    let mut known = 0;
    // Keys come in byte order, so that the blocks do, too.
    for (part, value) in &state {
        match part.as_str() {
            _ if value.is_null() => continue,
            schema::META => writer.values(part, value)?,
            schema::ITEMS | schema::GROUPS => writer.maps(part, value)?,
            schema::ITEM_POSITIONS => writer.positions(part, value)?,
            schema::ITEM_GROUPS | schema::SIGNATURE_COLORS => writer.strings(part, value)?,
            "allUserVotes" => writer.votes(part, value)?,
            schema::ACTION_ITEMS => writer.action_items(part, value)?,
            _ => {
                let follows = FOLLOWS.iter().find(|(name, _)| name == part);
                not_kept.push(follows.map_or_else(
                    || format!("{part}: boards have no such part"),
                    |(_, why)| (*why).to_owned(),
                ));
                continue;
            }
        }
        known += 1;
    }
    if known == 0 {
        return Err(SeedError::NoBoard);
    }
    let update = doc.transact().encode_diff_v1(&StateVector::default());
    Ok(Board { update, not_kept })
}

/// A client id that stands for these bytes: of 32 bits, as those of Yjs 13.
fn client_of(json: &[u8]) -> ClientId {
    let hash = Sha256::digest(json);
    u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]).max(1))
}

struct Writer<'d> {
    doc: &'d Doc,
}

impl Writer<'_> {
    fn write(
        &self,
        root: &str,
        write: impl FnOnce(&MapRef, &mut TransactionMut<'_>) -> Result<(), SeedError>,
    ) -> Result<(), SeedError> {
        let map = self.doc.get_or_insert_map(root);
        write(&map, &mut self.doc.transact_mut())
    }

    fn values(&self, part: &str, value: &Value) -> Result<(), SeedError> {
        let entries = object(part, value)?;
        self.write(part, |map, transaction| {
            for (key, value) in entries {
                map.insert(transaction, key.as_str(), any(value, &place(part, key))?);
            }
            Ok(())
        })
    }

    fn strings(&self, part: &str, value: &Value) -> Result<(), SeedError> {
        let entries = object(part, value)?;
        self.write(part, |map, transaction| {
            for (key, value) in entries {
                let Value::String(text) = value else { return Err(unexpected(place(part, key), "a string")) };
                map.insert(transaction, key.as_str(), text.as_str());
            }
            Ok(())
        })
    }

    fn positions(&self, part: &str, value: &Value) -> Result<(), SeedError> {
        for (key, position) in object(part, value)? {
            let is_pair = ["x", "y"].iter().all(|axis| position.get(axis).is_some_and(Value::is_number));
            if !is_pair {
                return Err(unexpected(place(part, key), "an object with the numbers x and y"));
            }
        }
        self.values(part, value)
    }

    /// Objects by id, or a list of objects that have one.
    fn maps(&self, part: &str, value: &Value) -> Result<(), SeedError> {
        let objects: Vec<(String, &Object<String, Value>)> = match value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(n, value)| {
                    let place = place(part, &n.to_string());
                    let fields = object(&place, value)?;
                    let id = fields.get("id").and_then(Value::as_str);
                    Ok((
                        id.ok_or_else(|| unexpected(place, "an object with the string id"))?.to_owned(),
                        fields,
                    ))
                })
                .collect::<Result<_, SeedError>>()?,
            value => object(part, value)?
                .iter()
                .map(|(id, value)| Ok((id.clone(), object(&place(part, id), value)?)))
                .collect::<Result<_, SeedError>>()?,
        };
        self.write(part, |map, transaction| {
            objects
                .iter()
                .try_for_each(|(id, fields)| fields_into(map, transaction, (part, id), fields, None))
        })
    }

    fn votes(&self, part: &str, value: &Value) -> Result<(), SeedError> {
        let users = object(part, value)?;
        self.write(schema::VOTES, |map, transaction| {
            for (user, votes) in users {
                let at = place(part, user);
                if user.is_empty() {
                    return Err(unexpected(at, "a user"));
                }
                for (target, count) in object(&at, votes)? {
                    let count = count.as_u64().filter(|count| *count < WHOLE_MAX);
                    let count = count.ok_or_else(|| unexpected(place(&at, target), "a count"))?;
                    if !schema::is_id(target) {
                        return Err(unexpected(place(&at, target), ID));
                    }
                    if count > 0 {
                        map.insert(
                            transaction,
                            schema::vote_key(user, target),
                            any(&Value::from(count), &at)?,
                        );
                    }
                }
            }
            Ok(())
        })
    }

    fn action_items(&self, part: &str, value: &Value) -> Result<(), SeedError> {
        let Value::Array(list) = value else { return Err(unexpected(part.to_owned(), "a list")) };
        self.write(part, |map, transaction| {
            for (order, item) in list.iter().enumerate() {
                let at = place(part, &order.to_string());
                let fields = object(&at, item)?;
                let id = match fields.get("id") {
                    Some(Value::String(id)) => id.clone(),
                    None => format!("action-{order}"),
                    Some(_) => return Err(unexpected(place(&at, "id"), "a string")),
                };
                fields_into(map, transaction, (part, &id), fields, Some(order))?;
            }
            Ok(())
        })
    }
}

/// An object's fields as a map of its own, so that each can be changed by itself. Its id is its key.
fn fields_into(
    map: &MapRef,
    transaction: &mut TransactionMut<'_>,
    (part, id): (&str, &str),
    fields: &Object<String, Value>,
    order: Option<usize>,
) -> Result<(), SeedError> {
    let at = place(part, id);
    if !schema::is_id(id) {
        return Err(unexpected(at, ID));
    }
    if map.contains_key(transaction, id) {
        return Err(unexpected(at, "an id that is there once"));
    }
    let entry = map.insert(transaction, id, MapPrelim::default());
    for (name, value) in
        fields.iter().filter(|(name, _)| *name != "id" && (order.is_none() || *name != "order"))
    {
        entry.insert(transaction, name.as_str(), any(value, &place(&at, name))?);
    }
    if let Some(order) = order {
        entry.insert(transaction, "order", order as f64);
    }
    Ok(())
}

fn object<'v>(at: &str, value: &'v Value) -> Result<&'v Object<String, Value>, SeedError> {
    value.as_object().ok_or_else(|| unexpected(at.to_owned(), "an object"))
}

fn unexpected(place: String, expected: &'static str) -> SeedError {
    SeedError::Unexpected { place, expected }
}

fn place(at: &str, key: &str) -> String {
    format!("{at}/{key}")
}

/// A value as Yjs has it: whole numbers that JavaScript cannot tell apart become its numbers.
fn any(value: &Value, at: &str) -> Result<Any, SeedError> {
    any_within(value, at, VALUE_DEPTH_MAX)
}

fn any_within(value: &Value, at: &str, depth: usize) -> Result<Any, SeedError> {
    let depth = depth.checked_sub(1).ok_or_else(|| unexpected(at.to_owned(), "a value with fewer levels"))?;
    Ok(match value {
        Value::Null => Any::Null,
        Value::Bool(flag) => Any::Bool(*flag),
        Value::Number(number) => match number.as_i64().filter(|whole| whole.unsigned_abs() <= WHOLE_MAX) {
            Some(whole) => Any::from(whole),
            None => Any::from(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Any::from(text.as_str()),
        Value::Array(values) => {
            let values: Result<Vec<Any>, _> =
                values.iter().map(|value| any_within(value, at, depth)).collect();
            Any::from(values?)
        }
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| Ok((key.clone(), any_within(value, at, depth)?)));
            Any::from(entries.collect::<Result<std::collections::HashMap<String, Any>, SeedError>>()?)
        }
    })
}
