//! Frames of HTTP/2 (RFC 9113, 6), for tests whose bytes are their own.

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH: u8 = 5;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

/// The flag of the frame that ends a stream,
pub(crate) const END_STREAM: u8 = 1;
/// and of the one that ends a block of headers.
pub(crate) const END_HEADERS: u8 = 4;

/// The setting of how many streams may be open at once.
pub(crate) const MAX_STREAMS: u16 = 3;

/// Returns a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns settings, each an identifier and a value; none are lawful too.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let pairs = values
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &pairs.collect::<Vec<_>>())
}

/// Returns the head of an answer of status 200 with this content type, which HPACK leaves in clear.
pub(crate) fn head(stream: u32, content_type: &str) -> Vec<u8> {
    let length = u8::try_from(content_type.len()).unwrap();
    let block = [&[0x88, 0x0f, 0x10, length], content_type.as_bytes()].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// Returns a piece of an answer's body.
pub(crate) fn data(stream: u32, text: &str, flags: u8) -> Vec<u8> {
    frame(DATA, flags, stream, text.as_bytes())
}

/// Returns the end of a stream with this code.
pub(crate) fn reset(stream: u32, code: u8) -> Vec<u8> {
    frame(RESET, 0, stream, &[0, 0, 0, code])
}

/// Returns a farewell that names the last stream that was begun.
pub(crate) fn go_away(last: u32, code: u8) -> Vec<u8> {
    let payload = [&last.to_be_bytes()[..], &[0, 0, 0, code]].concat();
    frame(GO_AWAY, 0, 0, &payload)
}
