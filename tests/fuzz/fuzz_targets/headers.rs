//! See `ruang_fuzz::headers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ruang_fuzz::headers::run(input);
});
