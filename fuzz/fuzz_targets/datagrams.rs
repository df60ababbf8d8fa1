#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moxi_fuzzing::targets::datagrams::target(data));
