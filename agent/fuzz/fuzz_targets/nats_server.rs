#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| headcount::fuzzing::run("nats_server", input));
