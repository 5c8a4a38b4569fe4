//! What a room does around its gate: shows it the document if it must know the order.
#![allow(dead_code, unreachable_pub)]

use ruang::document::Document;
use ruang::gate::{Admission, Gate, Refusal, Source};

/// Judges an update; what was admitted before is folded.
pub fn admit(
    gate: &mut Gate,
    document: &Document,
    update: &[u8],
    source: Source,
) -> Result<Admission, Refusal> {
    match gate.admit(update, source) {
        Err(Refusal::OrderUnknown) => {
            gate.learn_order([document.encode_full().as_slice()]).expect("a document of this gate");
            gate.admit(update, source)
        }
        judged => judged,
    }
}
