//! Splits any bytes as a stream of events.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let cut = data.first().map_or(0, |&byte| usize::from(byte));
    berry_relay::fuzz::splitter(data, cut);
});
