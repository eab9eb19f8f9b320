//! How far a string goes on without anything to be looked at.
//!
//! Nearly all of a request or an answer is strings, so this is where the time goes that it takes to read
//! one. Most strings are short, and looked at by words. Where a long one ends is found with the widest
//! instructions that the processor has; whether a control character is in it, or anything but ASCII, in a
//! look of its own, which the compiler makes of few instructions.

use memchr::memchr2;

/// What is looked at together of a short string: a word.
const WORD: usize = 8;
/// The words that a short string has at most.
const WORDS: usize = 3;
/// What is looked at together of a long one.
const LANES: usize = 64;

/// Bytes that pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) length: usize,
    /// They are ASCII for certain. Looking for it costs less than asking whether a text is UTF-8, which
    /// needs not be asked of ASCII.
    pub(super) is_ascii: bool,
}

/// Returns how many bytes pass before a quote, a backslash or a control character.
#[inline]
pub(crate) fn plain_run(text: &[u8]) -> usize {
    run(text).length
}

/// The same, and whether they are ASCII.
#[inline]
pub(super) fn run(text: &[u8]) -> Run {
    let begin = text.get(..WORDS * WORD).unwrap_or(text);
    let short = short_run(begin);
    if short.length < begin.len() {
        return short;
    }
    let long = long_run(text.get(short.length..).unwrap_or_default());
    Run {
        length: short.length + long.length,
        is_ascii: short.is_ascii && long.is_ascii,
    }
}

/// The same, a word at a time.
#[inline]
fn short_run(text: &[u8]) -> Run {
    let (words, rest) = text.as_chunks::<WORD>();
    let mut all = 0;
    for (count, &word) in words.iter().enumerate() {
        all |= u64::from_le_bytes(word);
        let special = specials(word);
        if special != 0 {
            return Run {
                length: count * WORD + first(special),
                is_ascii: all & HIGHS == 0,
            };
        }
    }
    let special = rest.iter().position(|&byte| is_special(byte));
    let rest = rest
        .get(..special.unwrap_or(rest.len()))
        .unwrap_or_default();
    Run {
        length: words.len() * WORD + rest.len(),
        is_ascii: all & HIGHS == 0 && rest.is_ascii(),
    }
}

/// The same for what is left of a long string, or of the text.
#[inline(never)]
fn long_run(text: &[u8]) -> Run {
    let end = memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let run = text.get(..end).unwrap_or_default();
    let (least, all) = bounds(run);
    let length = if least >= 0x20 {
        end
    } else {
        run.iter().position(|&byte| byte < 0x20).unwrap_or(end)
    };
    Run {
        length,
        is_ascii: all < 0x80,
    }
}

/// Returns the least of all bytes, and the bits that any of them has.
fn bounds(bytes: &[u8]) -> (u8, u8) {
    let (chunks, rest) = bytes.as_chunks::<LANES>();
    let (mut least, mut all) = ([u8::MAX; LANES], [0; LANES]);
    for chunk in chunks {
        for ((least, all), byte) in least.iter_mut().zip(&mut all).zip(chunk) {
            *least = (*least).min(*byte);
            *all |= byte;
        }
    }
    let least = least.iter().chain(rest).copied().min();
    let all = all.iter().chain(rest).fold(0, |all, byte| all | byte);
    (least.unwrap_or(u8::MAX), all)
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\')
}

const ONES: u64 = u64::MAX / 0xff;
/// The high bit of each byte.
const HIGHS: u64 = ONES * 0x80;

/// Raises the high bit of each byte that is special (Anderson, "Bit Twiddling Hacks": `hasless`, `haszero`).
/// A false positive can only follow a true one, so the first bit is exact.
fn specials(word: [u8; WORD]) -> u64 {
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
            let run = run(&bytes);
            prop_assert_eq!(run.length, expected);
            prop_assert!(!run.is_ascii || bytes[..expected].is_ascii());
        }

        #[test]
        fn text_that_is_ascii_is_known_to_be(length in 0_usize..300, odd in 0_usize..300) {
            let mut text = vec![b'a'; length];
            prop_assert!(run(&text).is_ascii);
            if let Some(byte) = text.get_mut(odd) {
                *byte = 0xc3;
                prop_assert!(!run(&text).is_ascii);
                prop_assert_eq!(run(&text).length, length);
            }
        }
    }
}
