//! Watches any bytes as a stream of OpenAI's.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let cut = data.first().map_or(0, |&byte| usize::from(byte));
    berry_relay::fuzz::openai_stream(data, cut);
});
