//! Shared types as a board reads them: by what they hold, whatever they say they are. Yjs 14 has one type for maps, lists and
//! texts, and it comes as XML; on a board it is the map or the text that its place asks for.

use yrs::branch::{Branch, BranchPtr};
use yrs::{MapRef, Out, TextRef};

/// The entries of a shared type.
pub(super) fn as_map(value: &Out) -> Option<MapRef> {
    branch(value).map(MapRef::from)
}

/// The characters of a shared type that may have any: the maps and lists of Yjs 13 have none.
pub(super) fn as_text(value: &Out) -> Option<TextRef> {
    match value {
        Out::YMap(_) | Out::YArray(_) => None,
        shared => branch(shared).map(TextRef::from),
    }
}

fn branch(value: &Out) -> Option<BranchPtr> {
    fn of<B: AsRef<Branch>>(shared: &B) -> BranchPtr {
        BranchPtr::from(shared.as_ref())
    }
    match value {
        Out::YMap(map) => Some(of(map)),
        Out::YArray(array) => Some(of(array)),
        Out::YText(text) => Some(of(text)),
        Out::YXmlElement(xml) => Some(of(xml)),
        Out::YXmlFragment(xml) => Some(of(xml)),
        Out::YXmlText(xml) => Some(of(xml)),
        Out::UndefinedRef(branch) => Some(*branch),
        _ => None,
    }
}
