//! The gate's rules, as its users may rely on them. Tests name the rule they show.
//!
//! See `gate/rules.md` beside this file for the rules G1 to G19.

mod hex;

use ruang::document::Document;
use ruang::gate::{Gate, Source};

use hex::bytes;

#[test]
fn smoke() {
    let mut gate = Gate::new();
    let mut document = Document::new();
    let update = bytes("0101070028 01016d036f6666017d0100");
    let admission = gate.admit(&update, Source::Update).unwrap();
    let remainder = admission.remainder.unwrap();
    assert_eq!(remainder.update, update);
    document.apply(&[&remainder.update]).unwrap();
    assert_eq!(document.encode_full(), update);
    assert!(gate.admit(&update, Source::Update).unwrap().remainder.is_none());
}
