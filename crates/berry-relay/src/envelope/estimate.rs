//! What a request will cost, roughly and at once.
//!
//! Counting tokens as a provider does would need its tables and more time than the whole gateway
//! takes. The length of the text is near enough: the answer itself says what it cost.

use berry_core::limit::Estimate;
use memchr::memmem::Finder;

use super::{Envelope, Form};

/// Bytes of JSON for each token, as English text has it.
const BYTES_PER_TOKEN: usize = 4;
/// What an inline file, of whatever length, is taken for: about what providers count for an image.
const FILE_TOKENS: usize = 1_000;
/// What stands before the bytes of an inline file.
const FILE: &[u8] = b";base64,";

impl Envelope {
    /// Returns the tokens that the request is expected to cost.
    pub(crate) fn estimate(&self) -> Estimate {
        let input = match &self.form {
            Form::Parts(_) => FILE_TOKENS,
            Form::Json { .. } => input_tokens(&self.body),
        };
        Estimate {
            input: u32::try_from(input).unwrap_or(u32::MAX),
            output: self.most_output,
        }
    }
}

/// Estimates the tokens of a JSON body; of an inline file the bytes do not count.
fn input_tokens(body: &[u8]) -> usize {
    let (finder, mut text, mut files, mut rest) = (Finder::new(FILE), body.len(), 0, body);
    while let Some(at) = finder.find(rest) {
        let file = rest.get(at + FILE.len()..).unwrap_or_default();
        let length = base64_length(file);
        text -= length;
        files += 1;
        rest = file.get(length..).unwrap_or_default();
    }
    text.div_ceil(BYTES_PER_TOKEN) + files * FILE_TOKENS
}

/// Returns how many bytes at the beginning are base64, in either alphabet, with its slashes escaped
/// or not.
fn base64_length(text: &[u8]) -> usize {
    let mut length = 0;
    loop {
        length += match text.get(length..) {
            Some([b'\\', b'/', ..]) => 2,
            Some([byte, ..]) if byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte) => 1,
            _ => return length,
        };
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;

    fn estimate(body: &str) -> (u32, u32) {
        let envelope = Envelope::parse(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let Estimate { input, output } = envelope.estimate();
        (input, output)
    }

    #[test]
    fn text_counts_by_its_length_and_output_by_what_the_client_allows() {
        for (member, output) in [
            (r#""x":1"#, 0),
            (r#""max_tokens":300"#, 300),
            (r#""max_completion_tokens":301"#, 301),
            (r#""max_output_tokens":302"#, 302),
            (r#""max_tokens":304,"max_completion_tokens":303"#, 304),
            (r#""max_tokens":305,"max_completion_tokens":306"#, 306),
            (r#""max_tokens":null"#, 0),
            (r#""max_tokens":-5"#, 0),
            (r#""max_tokens":1e9"#, 0),
        ] {
            let body = format!(
                r#"{{"model":"m",{member},"prompt":"{}"}}"#,
                "x".repeat(4_000)
            );
            assert_eq!(estimate(&body).1, output, "{member}");
            assert!((1_000..1_025).contains(&estimate(&body).0), "{member}");
        }
    }

    #[test]
    fn an_inline_file_counts_as_one_whatever_its_length() {
        let body = |length| {
            let file = "A".repeat(length);
            format!(r#"{{"model":"m","a":"data:image/png;base64,{file}","b":";base64,{file}"}}"#)
        };

        assert_eq!(estimate(&body(0)), estimate(&body(100_000)));
        assert!((2_000..2_050).contains(&estimate(&body(4)).0));
    }

    #[test]
    fn text_after_an_inline_file_counts() {
        for text in ["some words ", r"a\u0020word ", r"some\nwords"] {
            let text = text.repeat(1_000);
            let body = format!(r#"{{"model":"m","a":"data:text/plain;base64,QU\/D{text}"}}"#);

            let tokens = estimate(&body).0;

            assert!((3_700..4_100).contains(&tokens), "{tokens}");
        }
    }

    #[test]
    fn a_form_counts_as_a_file() {
        let body = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x--\r\n";
        let kind = HeaderValue::from_static("multipart/form-data; boundary=x");
        let envelope = Envelope::parse_form(Bytes::from(body), &kind).unwrap();

        assert_eq!(envelope.estimate().input, 1_000);
    }
}
