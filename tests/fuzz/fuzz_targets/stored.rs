//! See `ruang_fuzz::stored`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    ruang_fuzz::stored::run(input);
});
