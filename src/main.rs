//! The binary: thin over the library.

fn main() {}
