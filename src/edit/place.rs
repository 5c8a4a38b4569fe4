//! Where a path leads, in a document that says little of its types: a root says nothing of what it is, and a
//! hostile client says anything. So each type is taken for what it holds, and for what it says it is only if it
//! holds nothing.

use std::collections::BTreeMap;

use yrs::branch::{Branch, BranchPtr};
use yrs::types::TypeRef;
use yrs::{Array, ArrayRef, GetString, Map, MapRef, Out, ReadTxn, Text, TextRef, TransactionMut, WriteTxn};

use super::value::check_name;
use super::{Held, Kind, Misfit, Segment};
use crate::limits::EDIT_PATH_MAX;

/// Follows a path to the shared type at its end.
pub(super) fn follow(
    transaction: &mut TransactionMut<'_>,
    roots: &BTreeMap<String, Kind>,
    path: &[Segment],
) -> Result<Found, Misfit> {
    let [Segment::Key(root), steps @ ..] = path else { return Err(Misfit::Path) };
    if path.len() > EDIT_PATH_MAX {
        return Err(Misfit::Path);
    }
    check_name(root)?;
    let mut found = root_of(transaction, root, roots.get(root).copied());
    for (step, segment) in steps.iter().enumerate() {
        let value = match segment {
            Segment::Key(key) => found.map(transaction)?.get(transaction, key),
            Segment::Index(index) => found.array(transaction)?.get(transaction, *index),
        };
        let branch = branch_of(&value.ok_or(Misfit::Absent(step + 1))?).ok_or(Misfit::Plain(step + 1))?;
        found = Found { branch, declared: None, step: step + 1 };
    }
    Ok(found)
}

fn root_of(transaction: &mut TransactionMut<'_>, name: &str, declared: Option<Kind>) -> Found {
    let known =
        transaction.root_refs().find(|(root, _)| *root == name).and_then(|(_, root)| branch_of(&root));
    // A root that is not there is made as what it was said to be; as a map, if nobody has said it: it is nothing
    // before something is in it.
    let branch = known.unwrap_or_else(|| match declared {
        Some(Kind::Map) | None => BranchPtr::from(transaction.get_or_insert_map(name).as_ref() as &Branch),
        Some(Kind::Array) => BranchPtr::from(transaction.get_or_insert_array(name).as_ref() as &Branch),
        Some(Kind::Text) => BranchPtr::from(transaction.get_or_insert_text(name).as_ref() as &Branch),
    });
    let declared = Declared { kind: declared };
    Found { branch, declared: Some(declared), step: 0 }
}

fn branch_of(value: &Out) -> Option<BranchPtr> {
    fn of<B: AsRef<Branch>>(shared: &B) -> BranchPtr {
        BranchPtr::from(shared.as_ref())
    }
    match value {
        Out::YText(text) => Some(of(text)),
        Out::YArray(array) => Some(of(array)),
        Out::YMap(map) => Some(of(map)),
        Out::YXmlElement(element) => Some(of(element)),
        Out::YXmlFragment(fragment) => Some(of(fragment)),
        Out::YXmlText(text) => Some(of(text)),
        Out::UndefinedRef(branch) => Some(*branch),
        Out::Any(_) | Out::YDoc(_) => None,
    }
}

/// A shared type on a path.
pub(super) struct Found {
    branch: BranchPtr,
    /// Of a root: what it was said to be.
    declared: Option<Declared>,
    step: usize,
}

struct Declared {
    kind: Option<Kind>,
}

impl Found {
    /// It as a map.
    pub(super) fn map<T: ReadTxn>(&self, transaction: &T) -> Result<MapRef, Misfit> {
        self.check(transaction, Held::Map)?;
        Ok(MapRef::from(self.branch))
    }

    /// It as an array. The engine's way through an array does not end on some texts, so it has none in it.
    pub(super) fn array<T: ReadTxn>(&self, transaction: &T) -> Result<ArrayRef, Misfit> {
        self.check(transaction, Held::Array)?;
        Ok(ArrayRef::from(self.branch))
    }

    /// It as a text.
    pub(super) fn text<T: ReadTxn>(&self, transaction: &T) -> Result<TextRef, Misfit> {
        self.check(transaction, Held::Text)?;
        Ok(TextRef::from(self.branch))
    }

    /// Whether it is a text, rather than an array.
    pub(super) fn is_text<T: ReadTxn>(&self, transaction: &T) -> Result<bool, Misfit> {
        match self.held(transaction)? {
            Held::Text => Ok(true),
            Held::Array => Ok(false),
            is => Err(Misfit::Other { step: self.step, is, wanted: Held::Sequence }),
        }
    }

    fn check<T: ReadTxn>(&self, transaction: &T, wanted: Held) -> Result<(), Misfit> {
        match self.held(transaction)? {
            is if is == wanted => Ok(()),
            is => Err(Misfit::Other { step: self.step, is, wanted }),
        }
    }

    fn held<T: ReadTxn>(&self, transaction: &T) -> Result<Held, Misfit> {
        let (map, text) = (MapRef::from(self.branch), TextRef::from(self.branch));
        if map.iter(transaction).next().is_some() {
            return Ok(Held::Map);
        }
        if text.len(transaction) > 0 {
            return Ok(match self.branch.type_ref() {
                TypeRef::XmlElement(_) | TypeRef::XmlFragment => Held::Xml,
                _ if self.holds_text(transaction) => Held::Text,
                _ => Held::Array,
            });
        }
        match (&self.declared, self.branch.type_ref()) {
            (Some(Declared { kind }), _) => kind.map(Held::from).ok_or(Misfit::UnknownRoot),
            (None, TypeRef::Map) => Ok(Held::Map),
            (None, TypeRef::Array) => Ok(Held::Array),
            (None, TypeRef::Text | TypeRef::XmlText) => Ok(Held::Text),
            (None, _) => Ok(Held::Xml),
        }
    }

    /// Text in it, or nothing but what is embedded in what says that it is a text.
    fn holds_text<T: ReadTxn>(&self, transaction: &T) -> bool {
        let says_so = matches!(self.branch.type_ref(), TypeRef::Text | TypeRef::XmlText);
        says_so || !TextRef::from(self.branch).get_string(transaction).is_empty()
    }
}
