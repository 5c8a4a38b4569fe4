//! Carries an edit out, in one transaction.

use std::collections::BTreeMap;

use serde_json::Value;
use yrs::{Any, Array, ArrayRef, Map, Out, ReadTxn, Text, TextRef, TransactionMut};

use super::place::follow;
use super::value::{check_name, input};
use super::{Edit, EditError, Kind, Misfit, Operation, Segment, Shape};

/// Makes each of the edit's operations, or none.
pub(super) fn carry_out(
    transaction: &mut TransactionMut<'_>,
    edit: &Edit,
    is_late: &dyn Fn() -> bool,
) -> Result<(), EditError> {
    for (index, operation) in edit.operations.iter().enumerate() {
        if is_late() {
            return Err(EditError::TooLong);
        }
        one(transaction, &edit.roots, operation).map_err(|why| EditError::Operation { index, why })?;
    }
    Ok(())
}

fn one(
    transaction: &mut TransactionMut<'_>,
    roots: &BTreeMap<String, Kind>,
    operation: &Operation,
) -> Result<(), Misfit> {
    match operation {
        Operation::Set { path, value, shape } => set(transaction, roots, path, (value, *shape)),
        Operation::Insert { path, at, values, text, shape } => {
            let found = follow(transaction, roots, path)?;
            match (values, text) {
                (Some(values), None) if !values.is_empty() => {
                    let array = found.array(transaction)?;
                    insert_values(transaction, &array, *at, (values, *shape))
                }
                (None, Some(text)) if !text.is_empty() && *shape == Shape::Json => {
                    let shared = found.text(transaction)?;
                    insert_text(transaction, &shared, *at, text)
                }
                _ => Err(Misfit::Nothing),
            }
        }
        Operation::Delete { path, at: None, count: None } => delete(transaction, roots, path),
        Operation::Delete { path, at: Some(at), count } => {
            let found = follow(transaction, roots, path)?;
            let range = (*at, count.unwrap_or(1));
            if found.is_text(transaction)? {
                delete_text(transaction, &found.text(transaction)?, range)
            } else {
                delete_elements(transaction, &found.array(transaction)?, range)
            }
        }
        Operation::Delete { at: None, count: Some(_), .. } => Err(Misfit::Count),
    }
}

/// The way to what holds the last step, and that step.
fn last(path: &[Segment]) -> Result<(&[Segment], &Segment), Misfit> {
    match path {
        [] => Err(Misfit::Path),
        [_] => Err(Misfit::RootItself),
        [way @ .., last] => Ok((way, last)),
    }
}

fn set(
    transaction: &mut TransactionMut<'_>,
    roots: &BTreeMap<String, Kind>,
    path: &[Segment],
    (value, shape): (&Value, Shape),
) -> Result<(), Misfit> {
    let (way, last) = last(path)?;
    let found = follow(transaction, roots, way)?;
    match last {
        Segment::Key(key) => {
            check_name(key)?;
            let map = found.map(transaction)?;
            map.insert(transaction, key.as_str(), input(value, shape)?);
        }
        Segment::Index(index) => {
            let array = found.array(transaction)?;
            let value = input(value, shape)?;
            delete_elements(transaction, &array, (*index, 1))?;
            array.insert(transaction, *index, value);
        }
    }
    Ok(())
}

fn delete(
    transaction: &mut TransactionMut<'_>,
    roots: &BTreeMap<String, Kind>,
    path: &[Segment],
) -> Result<(), Misfit> {
    let (way, last) = last(path)?;
    let found = follow(transaction, roots, way)?;
    match last {
        Segment::Key(key) => {
            let map = found.map(transaction)?;
            if !map.contains_key(transaction, key) {
                return Err(Misfit::Absent(way.len()));
            }
            map.remove(transaction, key);
            Ok(())
        }
        Segment::Index(index) => {
            let array = found.array(transaction)?;
            delete_elements(transaction, &array, (*index, 1))
        }
    }
}

fn insert_values(
    transaction: &mut TransactionMut<'_>,
    array: &ArrayRef,
    at: Option<u32>,
    (values, shape): (&[Value], Shape),
) -> Result<(), Misfit> {
    let at = place(at, array.len(transaction))?;
    if shape == Shape::Json {
        let plain = values.iter().map(|value| match input(value, shape)? {
            yrs::In::Any(any) => Ok(any),
            _ => Ok(Any::Null), // a JSON value is no shared type
        });
        let plain = plain.collect::<Result<Vec<Any>, Misfit>>()?;
        array.insert_range(transaction, at, plain);
        return Ok(());
    }
    for (value, at) in values.iter().zip(at..) {
        array.insert(transaction, at, input(value, shape)?);
    }
    Ok(())
}

fn insert_text(
    transaction: &mut TransactionMut<'_>,
    shared: &TextRef,
    at: Option<u32>,
    text: &str,
) -> Result<(), Misfit> {
    let at = place(at, shared.len(transaction))?;
    check_between_characters(transaction, shared, &[at])?;
    shared.insert(transaction, at, text);
    Ok(())
}

fn delete_text(
    transaction: &mut TransactionMut<'_>,
    shared: &TextRef,
    (at, count): (u32, u32),
) -> Result<(), Misfit> {
    let end = range_end((at, count), shared.len(transaction))?;
    check_between_characters(transaction, shared, &[at, end])?;
    shared.remove_range(transaction, at, count);
    Ok(())
}

fn delete_elements(
    transaction: &mut TransactionMut<'_>,
    array: &ArrayRef,
    (at, count): (u32, u32),
) -> Result<(), Misfit> {
    range_end((at, count), array.len(transaction))?;
    array.remove_range(transaction, at, count);
    Ok(())
}

/// Where to insert; the engine panics on what is beyond the end.
fn place(at: Option<u32>, len: u32) -> Result<u32, Misfit> {
    match at {
        Some(at) if at > len => Err(Misfit::Beyond { at: u64::from(at), len }),
        Some(at) => Ok(at),
        None => Ok(len),
    }
}

fn range_end((at, count): (u32, u32), len: u32) -> Result<u32, Misfit> {
    let end = u64::from(at) + u64::from(count);
    match u32::try_from(end) {
        _ if count == 0 => Err(Misfit::Count),
        Ok(end) if end <= len => Ok(end),
        _ => Err(Misfit::Beyond { at: end, len }),
    }
}

/// Cutting a character in two would leave halves that no encoding has.
fn check_between_characters<T: ReadTxn>(
    transaction: &T,
    shared: &TextRef,
    places: &[u32],
) -> Result<(), Misfit> {
    let mut begins = 0;
    for piece in shared.diff(transaction, |_| ()) {
        let Out::Any(Any::String(text)) = &piece.insert else {
            begins += 1; // what is embedded counts as one
            continue;
        };
        for character in text.chars() {
            let ends = begins + character.len_utf16() as u32;
            if let Some(inside) = places.iter().find(|&&place| begins < place && place < ends) {
                return Err(Misfit::InsideCharacter(*inside));
            }
            begins = ends;
        }
    }
    Ok(())
}
