//! See `ruang_fuzz::edits`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ruang_fuzz::edits::run(input);
});
