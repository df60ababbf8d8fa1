#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moxi_fuzzing::targets::meta_requests::target(data));
