//! How a request's body is coded on its way (RFC 9112 6.1). hyper takes off chunks and looks at no
//! coding beneath them: what is compressed would be taken for the body itself, and a proxy before us
//! that knows the coding may have read another one.

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

const CHUNKED: &[u8] = b"chunked";

/// Why nobody can say what a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Miscoded {
    /// It has a coding that is not known here.
    #[error("`Transfer-Encoding` names a coding other than `chunked`: send the body without it")]
    Unknown,
    /// It is cut into chunks of chunks.
    #[error("`Transfer-Encoding` names `chunked` more than once")]
    Twice,
}

/// Checks that a body comes as it is or in chunks, and in nothing else. Where chunks are not the last
/// coding hyper has refused it already.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Miscoded> {
    let lines = headers.get_all(TRANSFER_ENCODING).iter();
    let codings = lines
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        // A list may have elements that are empty (RFC 9110 5.6.1).
        .filter(|coding| !coding.is_empty());
    let mut is_chunked = false;
    for coding in codings {
        if !coding.eq_ignore_ascii_case(CHUNKED) {
            return Err(Miscoded::Unknown);
        }
        if std::mem::replace(&mut is_chunked, true) {
            return Err(Miscoded::Twice);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_as_it_is_or_in_chunks_once() {
        for (lines, expected) in [
            (&[][..], Ok(())),
            (&["chunked"], Ok(())),
            (&["Chunked"], Ok(())),
            (&[" , chunked ,"], Ok(())),
            (&["gzip, chunked"], Err(Miscoded::Unknown)),
            (&["gzip", "chunked"], Err(Miscoded::Unknown)),
            (&["identity, chunked"], Err(Miscoded::Unknown)),
            (&["chunked;q=1"], Err(Miscoded::Unknown)),
            (&["chunked, chunked"], Err(Miscoded::Twice)),
            (&["chunked", "chunked"], Err(Miscoded::Twice)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(TRANSFER_ENCODING, line.parse().unwrap());
            }

            assert_eq!(check(&headers), expected, "{lines:?}");
        }
    }
}
