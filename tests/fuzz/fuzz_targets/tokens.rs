//! See `ruang_fuzz::tokens`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ruang_fuzz::tokens::run(input);
});
