//! How far a string goes on without anything to be looked at.
//!
//! Nearly all of a request or an answer is strings, so this is where the time goes that it takes to read
//! one. Most strings are short, and looked at by words. Where a long one ends is found with the widest
//! instructions that the processor has; whether a control character is in it, in a look of its own, which
//! the compiler makes of few instructions.

use memchr::memchr2;

/// What is looked at together of a short string: a word.
const WORD: usize = 8;
/// The words that a short string has at most.
const WORDS: usize = 3;

/// Returns how many bytes pass before a quote, a backslash or a control character.
#[inline]
pub(crate) fn plain_run(text: &[u8]) -> usize {
    let begin = text.get(..WORDS * WORD).unwrap_or(text);
    let passed = short_run(begin);
    if passed < begin.len() {
        return passed;
    }
    passed + long_run(text.get(passed..).unwrap_or_default())
}

/// The same, a word at a time.
#[inline]
fn short_run(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<WORD>();
    for (count, &word) in words.iter().enumerate() {
        let special = specials(word);
        if special != 0 {
            return count * WORD + first(special);
        }
    }
    let special = rest.iter().position(|&byte| is_special(byte));
    words.len() * WORD + special.unwrap_or(rest.len())
}

/// The same for what is left of a long string, or of the text.
#[inline(never)]
fn long_run(text: &[u8]) -> usize {
    let end = memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let run = text.get(..end).unwrap_or_default();
    let least = run.iter().fold(u8::MAX, |least, &byte| least.min(byte));
    if least >= 0x20 {
        return end;
    }
    run.iter().position(|&byte| byte < 0x20).unwrap_or(end)
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\')
}

/// Raises the high bit of each byte that is special (Anderson, "Bit Twiddling Hacks": `hasless`, `haszero`).
/// A false positive can only follow a true one, so the first bit is exact.
fn specials(word: [u8; WORD]) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES * 0x80;
    /// What turns a quote into the lowest byte that is no control character, and leaves these what they are.
    const QUOTE: u8 = b'"' ^ 0x20;
    let word = u64::from_le_bytes(word);
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    let low = word ^ (ONES * u64::from(QUOTE));
    let low = low.wrapping_sub(ONES * 0x21) & !low;
    (low | backslash) & HIGHS
}

/// Returns the place of the first byte whose bit is raised.
fn first(raised: u64) -> usize {
    raised.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_run_ends_at_the_first_special_byte(plain in 0_usize..200, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let bytes = [vec![b'!'; plain], bytes].concat();
            let expected = bytes
                .iter()
                .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
                .unwrap_or(bytes.len());
            prop_assert_eq!(plain_run(&bytes), expected);
        }
    }
}
