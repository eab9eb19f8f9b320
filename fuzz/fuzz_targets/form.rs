//! Reads and rewrites any bytes as a form.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    berry_relay::fuzz::form(data);
});
