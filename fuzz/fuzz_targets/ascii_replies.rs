#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moxi_fuzzing::targets::ascii_replies::target(data));
