//! The decoders of Kafka's protocol on mutated bytes; see `src/broker/wire/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lanekeeper::broker::decode(input));
