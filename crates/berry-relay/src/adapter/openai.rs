//! OpenAI's protocol, which vLLM, Ollama, resellers and many others speak too.
//!
//! Requests and answers pass as they are; only the address and the credential are made here.

use berry_core::Secret;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue};
use http::uri::{InvalidUri, Uri};

use crate::exchange::Operation;

/// The version that is put in where the base URL names none.
const VERSION: &str = "/v1";

/// The list of models, below the version segment.
const MODELS: &str = "/models";

/// Returns where the operation is asked for.
///
/// A base that is the operation's full address is used as it is; one with a version segment
/// anywhere in its path gets the rest of the path; else the version is put in.
pub(super) fn url(base: &Uri, operation: Operation) -> Result<Uri, InvalidUri> {
    let text = base.to_string();
    let text = text.trim_end_matches('/');
    let path = operation.path();
    if text.ends_with(path) {
        return text.parse();
    }
    complete(base, text, path)
}

/// Returns where the list of models is asked for; beside the operation where the base is one's
/// full address.
pub(super) fn models(base: &Uri) -> Result<Uri, InvalidUri> {
    let text = base.to_string();
    let text = text.trim_end_matches('/');
    let mut operations = Operation::ALL.iter();
    match operations.find_map(|operation| text.strip_suffix(operation.path())) {
        Some(parent) => format!("{parent}{MODELS}").parse(),
        None => complete(base, text, MODELS),
    }
}

/// Appends a path, and the version before it where the base names none.
fn complete(base: &Uri, text: &str, path: &str) -> Result<Uri, InvalidUri> {
    let versioned = base.path().split('/').any(is_version);
    let version = if versioned { "" } else { VERSION };
    format!("{text}{version}{path}").parse()
}

/// Returns the key as a bearer token.
pub(super) fn credential(key: &Secret) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))?;
    value.set_sensitive(true);
    Ok((AUTHORIZATION, value))
}

/// Returns whether a path segment is a version: `v1`, `v1beta`, `v2alpha1`.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else {
        return false;
    };
    rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_is_completed() {
        for (base, expected) in [
            (
                "https://api.openai.com",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "https://api.openai.com/",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "https://api.openai.com/v1",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "https://api.openai.com/v1/",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "http://host:8000/v1/chat/completions",
                "http://host:8000/v1/chat/completions",
            ),
            (
                "http://host/openai/v1",
                "http://host/openai/v1/chat/completions",
            ),
            (
                "http://host/v1beta/openai",
                "http://host/v1beta/openai/chat/completions",
            ),
            ("http://host/api", "http://host/api/v1/chat/completions"),
            ("http://host/vllm", "http://host/vllm/v1/chat/completions"),
            ("http://[::1]:8000", "http://[::1]:8000/v1/chat/completions"),
        ] {
            let base: Uri = base.parse().unwrap();

            let url = url(&base, Operation::ChatCompletions).unwrap();

            assert_eq!(url.to_string(), expected);
        }
    }

    #[test]
    fn the_list_of_models_is_beside_the_operations() {
        for (base, expected) in [
            ("https://api.openai.com", "https://api.openai.com/v1/models"),
            ("http://host/openai/v1/", "http://host/openai/v1/models"),
            (
                "http://host:8000/v1/chat/completions",
                "http://host:8000/v1/models",
            ),
            ("http://host/chat/completions", "http://host/models"),
        ] {
            let base: Uri = base.parse().unwrap();

            assert_eq!(models(&base).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn the_key_is_a_sensitive_bearer_token() {
        let (name, value) = credential(&Secret::new("sk-1")).unwrap();

        assert_eq!(
            (name, value.to_str().unwrap()),
            (AUTHORIZATION, "Bearer sk-1")
        );
        assert!(value.is_sensitive());
    }
}
