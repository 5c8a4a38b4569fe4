//! See `ruang_fuzz::frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ruang_fuzz::frames::run(input);
});
