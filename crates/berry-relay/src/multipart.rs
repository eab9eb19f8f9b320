//! Reads a form (`multipart/form-data`, RFC 7578) as far as to know where its parts are.
//!
//! Nothing is copied: files are most of such a body, and they go on as they came. What two readers
//! might understand differently is refused rather than guessed, because we would authorise one
//! model and forward another: line ends other than CRLF, a preamble that says something, a name that is quoted with
//! escapes or given twice.

use std::ops::Range;

use http::HeaderValue;
use memchr::memmem;

/// The longest boundary (RFC 2046, 5.1.1).
const LONGEST_BOUNDARY: usize = 70;
/// The longest head of a part.
const LONGEST_HEAD: usize = 8 * 1024;
/// The most parts of a form; images of an edit are among them.
const MOST_PARTS: usize = 256;

/// One part of a form; positions are bytes of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// It is a file, or encoded, and so no plain value.
    pub(crate) plain: bool,
    /// Its value.
    pub(crate) value: Range<usize>,
    /// All of it, from its delimiter up to the next one.
    pub(crate) whole: Range<usize>,
}

/// Why a body is not an acceptable form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The content type names no boundary that can be one.
    #[error("the content type has no usable `boundary`")]
    Boundary,
    /// The body does not follow the format; the byte where that shows.
    #[error("the form is malformed at byte {0}")]
    Syntax(usize),
    /// More parts than any request has.
    #[error("the form has too many parts")]
    TooMany,
}

/// Returns the boundary that a content type names.
pub(crate) fn boundary(content_type: &HeaderValue) -> Result<&str, Malformed> {
    let text = content_type.to_str().map_err(|_| Malformed::Boundary)?;
    let mut found = None;
    for parameter in text.split(';').skip(1) {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if !name.trim().eq_ignore_ascii_case("boundary") {
            continue;
        }
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        if found.replace(quoted.unwrap_or(value)).is_some() {
            return Err(Malformed::Boundary);
        }
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    found
        .filter(|boundary| (1..=LONGEST_BOUNDARY).contains(&boundary.len()))
        .filter(|boundary| boundary.bytes().all(allowed) && !boundary.ends_with(' '))
        .ok_or(Malformed::Boundary)
}

/// Reads a whole form and hands each of its parts to `visit`, in order.
pub(crate) fn parts<'a>(
    body: &'a [u8],
    boundary: &str,
    mut visit: impl FnMut(Part<'a>),
) -> Result<(), Malformed> {
    let delimiter = format!("\r\n--{boundary}");
    let delimiter = memmem::Finder::new(&delimiter);
    let dashes = delimiter.needle().len() - 2;
    // The first delimiter needs no line end before it; one that is there is an empty preamble.
    let mut start = if body.starts_with(delimiter.needle()) {
        2
    } else if body.starts_with(&delimiter.needle()[2..]) {
        0
    } else {
        return Err(Malformed::Syntax(0));
    };
    let mut at = start + dashes;
    for _ in 0..=MOST_PARTS {
        match body.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(b"--") => return closed(body, at + 2),
            _ => return Err(Malformed::Syntax(at)),
        }
        let (head, value_start) = head(body, at)?;
        let (name, plain) = described(head).ok_or(Malformed::Syntax(at))?;
        // A part without content: the line end after its head begins the delimiter.
        let searched = value_start - 2;
        let found = delimiter
            .find(&body[searched..])
            .ok_or(Malformed::Syntax(body.len()))?;
        let value_end = searched + found;
        visit(Part {
            name,
            plain,
            value: value_start.min(value_end)..value_end,
            whole: start..value_end + 2,
        });
        start = value_end + 2;
        at = start + dashes;
    }
    Err(Malformed::TooMany)
}

/// Checks what follows the last delimiter: nothing but white space.
fn closed(body: &[u8], at: usize) -> Result<(), Malformed> {
    if body[at..].iter().all(u8::is_ascii_whitespace) {
        Ok(())
    } else {
        Err(Malformed::Syntax(at))
    }
}

/// Returns the head of the part that begins at `at`, and where its value begins.
fn head(body: &[u8], at: usize) -> Result<(&str, usize), Malformed> {
    let window = &body[at..body.len().min(at + LONGEST_HEAD)];
    let end = memmem::find(window, b"\r\n\r\n").ok_or(Malformed::Syntax(at))?;
    let head = std::str::from_utf8(&window[..end]).map_err(|_| Malformed::Syntax(at))?;
    Ok((head, at + end + 4))
}

/// Returns the name that a part's head gives it, and whether it is a plain value.
fn described(head: &str) -> Option<(&str, bool)> {
    let mut name = None;
    let mut plain = true;
    for line in head.split("\r\n") {
        // No folded lines, and no line ends but our own.
        if line.starts_with([' ', '\t']) || line.contains(['\r', '\n', '\0']) {
            return None;
        }
        let (header, value) = line.split_once(':')?;
        if header.eq_ignore_ascii_case("content-disposition") {
            let (found, file) = disposition(value)?;
            plain &= !file;
            if name.replace(found).is_some() {
                return None;
            }
        } else if header.eq_ignore_ascii_case("content-transfer-encoding") {
            let encoding = value.trim();
            plain &= ["7bit", "8bit", "binary"]
                .iter()
                .any(|identity| encoding.eq_ignore_ascii_case(identity));
        }
    }
    Some((name?, plain))
}

/// Reads `form-data; name="…"`; returns the name and whether a file's name is given too.
fn disposition(value: &str) -> Option<(&str, bool)> {
    let mut rest = value.trim();
    let end = rest.find(';').unwrap_or(rest.len());
    if !rest[..end].trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    rest = &rest[end..];
    let (mut name, mut file) = (None, false);
    while let Some(parameter) = rest.strip_prefix(';') {
        let (key, after) = parameter.split_once('=')?;
        let key = key.trim();
        let (value, after) = parameter_value(after.trim_start())?;
        match key {
            // An escape may be read in more than one way; names that matter need none.
            _ if key.eq_ignore_ascii_case("name") && value.contains(['\\', '%']) => return None,
            _ if key.eq_ignore_ascii_case("name") && name.is_some() => return None,
            _ if key.eq_ignore_ascii_case("name") => name = Some(value),
            _ if key.eq_ignore_ascii_case("filename") => file = true,
            _ if key.eq_ignore_ascii_case("filename*") => file = true,
            _ if key.eq_ignore_ascii_case("name*") => return None,
            _ => {}
        }
        rest = after.trim_start();
    }
    if rest.is_empty() {
        Some((name?, file))
    } else {
        None
    }
}

/// Reads a quoted or bare value; returns it and what follows it.
fn parameter_value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let value = text[..end].trim_end();
        return (!value.contains('"')).then_some((value, &text[end..]));
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&quoted[..at], &quoted[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Result<Vec<(String, String, bool)>, Malformed> {
        let mut found = Vec::new();
        parts(body.as_bytes(), "b", |part| {
            found.push((
                part.name.to_owned(),
                body[part.value].to_owned(),
                part.plain,
            ));
        })?;
        Ok(found)
    }

    fn part(head: &str, value: &str) -> String {
        format!("--b\r\n{head}\r\n\r\n{value}\r\n")
    }

    #[test]
    fn parts_are_found_with_their_values() {
        let file = "content-disposition: form-data; filename=\"a;\\\"b.mp3\"; name=\"file\"\r\nContent-Type: audio/mpeg";
        let body = part(
            "Content-Disposition: form-data; name=\"model\"",
            "whisper-1",
        ) + &part("Content-Disposition:form-data;name=language", "")
            + &part(file, "\r\n--\r\n--a\r\n")
            + "--b--\r\n";

        let found = read(&body).unwrap();

        let expected = [
            ("model", "whisper-1", true),
            ("language", "", true),
            ("file", "\r\n--\r\n--a\r\n", false),
        ];
        assert_eq!(
            found,
            expected.map(|(name, value, plain)| (name.to_owned(), value.to_owned(), plain))
        );
    }

    #[test]
    fn a_line_end_before_the_first_delimiter_is_passed_over() {
        let body = part("Content-Disposition: form-data; name=model", "x") + "--b--";

        assert_eq!(read(&format!("\r\n{body}")), read(&body));
        assert!(read(&body).is_ok());
        assert!(read(&format!("\r\n\r\n{body}")).is_err());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let model = part("Content-Disposition: form-data; name=\"model\"", "x");
        for body in [
            String::new(),
            "--b".to_owned(),
            "--b--junk".to_owned(),
            model.clone(),
            format!("preamble\r\n{model}--b--"),
            format!("{model}--b--\r\nepilogue"),
            model.replace("\r\n", "\n") + "--b--",
            part("Content-Disposition: form-data; name=\"mo\\del\"", "x") + "--b--",
            part("Content-Disposition: form-data; name=\"%6Dodel\"", "x") + "--b--",
            part("Content-Disposition: form-data; name*=utf-8''model", "x") + "--b--",
            part("Content-Disposition: form-data; name=a; name=model", "x") + "--b--",
            part("Content-Disposition: form-data; name=\"model", "x") + "--b--",
            part("Content-Disposition: attachment; name=\"model\"", "x") + "--b--",
            part("Content-Disposition: form-data", "x") + "--b--",
            part("Content-Disposition: form-data;\r\n name=\"model\"", "x") + "--b--",
            part("Content-Type: text/plain", "x") + "--b--",
            part(
                "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=model",
                "x",
            ) + "--b--",
            format!(
                "--b\r\nContent-Disposition: form-data; name=a\r\n{}--b--",
                "x".repeat(9000)
            ),
            part("Content-Disposition: form-data; name=a", "x").repeat(300) + "--b--",
        ] {
            assert!(read(&body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        for (kind, expected) in [
            ("multipart/form-data; boundary=abc", Ok("abc")),
            (
                "multipart/form-data; charset=utf-8; Boundary=\"a b'c\"",
                Ok("a b'c"),
            ),
            ("multipart/form-data", Err(Malformed::Boundary)),
            ("multipart/form-data; boundary=", Err(Malformed::Boundary)),
            (
                "multipart/form-data; boundary=a; boundary=b",
                Err(Malformed::Boundary),
            ),
            (
                "multipart/form-data; boundary=a\"b",
                Err(Malformed::Boundary),
            ),
        ] {
            let kind = HeaderValue::from_static(kind);
            assert_eq!(boundary(&kind), expected, "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(
            values in proptest::collection::vec(("[a-z_]{1,8}", proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        ) {
            let mut body = Vec::new();
            for (name, value) in &values {
                body.extend(format!("--bound\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
                body.extend(value);
                body.extend(b"\r\n");
            }
            body.extend(b"--bound--\r\n");
            let mut found = Vec::new();
            let mut covered = 0;
            parts(&body, "bound", |part| {
                found.push((part.name.to_owned(), body[part.value.clone()].to_vec()));
                assert_eq!(part.whole.start, covered, "parts follow each other");
                covered = part.whole.end;
            }).unwrap();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn no_bytes_make_it_panic(body in "(--b|\r\n|: |content-disposition|form-data|; name=|\"|m|\\\\|--|.){0,30}") {
            let _ = read(&body);
        }
    }
}
