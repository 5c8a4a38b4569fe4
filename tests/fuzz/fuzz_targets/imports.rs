//! See `ruang_fuzz::imports`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ruang_fuzz::imports::run(input);
});
