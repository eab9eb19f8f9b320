//! Reads any bytes as an upstream's answer over HTTP/1.1.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let cut = data.first().map_or(0, |&byte| usize::from(byte));
    berry_relay::fuzz::http1_answer(data, cut);
});
