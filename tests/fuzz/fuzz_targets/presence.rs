//! See `ruang_fuzz::presence`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ruang_fuzz::presence::run(input);
});
