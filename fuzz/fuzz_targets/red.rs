#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| onmic_fuzz_targets::red::run(data));
