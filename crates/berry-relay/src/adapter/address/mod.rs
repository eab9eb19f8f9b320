//! Where each operation is asked for: a provider's base URL, completed.
//!
//! | base URL | becomes |
//! |---|---|
//! | the full address of an operation | that, and for other operations the same with its end replaced |
//! | with a version segment anywhere in its path | the operation's path behind it |
//! | any other | the protocol's version, and the operation's path |
//!
//! What Azure calls a deployment, and Gemini a model, is part of the path: such places are filled in
//! for each request. Azure has two surfaces. The dated one is meant where the provider's `headers`
//! name an `api-version`, which becomes part of the query; the other one has the version `v1`, and
//! takes no date: only a name (`preview`) becomes part of the query there.

use berry_core::Provider;
use berry_loadbalance::Mode;
use http::header::HeaderName;
use http::uri::{InvalidUri, Uri};

use crate::exchange::{Operation, Stored};

/// Stands for the upstream's model in a path.
const MODEL: &str = "{model}";

/// The header by which a configuration asks for a dated surface of Azure.
const API_VERSION: HeaderName = HeaderName::from_static("api-version");

/// A protocol's path of an operation; none where it has no such operation.
type Paths = fn(Operation, Mode) -> Option<&'static str>;

/// What precedes and follows the paths of one provider.
#[derive(Debug)]
pub(crate) struct Address {
    /// Everything before an operation's path.
    root: String,
    paths: Paths,
    /// Everything before the path of the models list, and that path.
    models: String,
    /// With its question mark, or empty.
    query: String,
}

/// OpenAI's addresses.
pub(super) fn openai(provider: &Provider) -> Address {
    let root = root(&provider.base_url, "/v1", openai_root);
    Address {
        models: format!("{root}/models"),
        root,
        paths: |operation, _| Some(operation.path()),
        query: String::new(),
    }
}

/// Anthropic's addresses.
pub(super) fn claude(provider: &Provider) -> Address {
    const MESSAGES: &str = "/messages";
    let root = root(&provider.base_url, "/v1", |text| {
        text.strip_suffix(MESSAGES)
    });
    Address {
        models: format!("{root}/models"),
        root,
        paths: |operation, _| (operation == Operation::ChatCompletions).then_some(MESSAGES),
        query: String::new(),
    }
}

/// Gemini's addresses.
pub(super) fn gemini(provider: &Provider) -> Address {
    let root = root(&provider.base_url, "/v1beta", |text| {
        let (root, rest) = text.rsplit_once("/models")?;
        (rest.is_empty() || rest.starts_with('/')).then_some(root)
    });
    Address {
        models: format!("{root}/models"),
        root,
        paths: |operation, mode| match (operation, mode) {
            (Operation::ChatCompletions, Mode::Whole) => Some("/models/{model}:generateContent"),
            (Operation::ChatCompletions, Mode::Streamed) => {
                // Without the parameter a stream is a JSON array.
                Some("/models/{model}:streamGenerateContent?alt=sse")
            }
            (Operation::Embeddings, _) => Some("/models/{model}:batchEmbedContents"),
            _ => None,
        },
        query: String::new(),
    }
}

/// Azure's addresses.
pub(super) fn azure(provider: &Provider) -> Address {
    let text = trimmed(&provider.base_url);
    let text = openai_root(&text).unwrap_or(&text);
    let version = provider.headers.get(API_VERSION);
    let version = version.and_then(|version| version.to_str().ok());
    let query = version.map(|version| format!("?api-version={}", encoded(version)));
    let above = text.strip_suffix("/openai").unwrap_or(text);
    if let Some((above, _)) = text.split_once("/deployments/") {
        return Address {
            root: text.to_owned(),
            paths: |operation, _| {
                (has_azure(operation) && operation != Operation::Responses)
                    .then_some(operation.path())
            },
            models: format!("{above}/models"),
            query: query.unwrap_or_default(),
        };
    }
    let is_date = version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    let (root, paths, query): (_, Paths, _) = if is_versioned(&provider.base_url) {
        (text.to_owned(), azure_undated, query.filter(|_| !is_date))
    } else if query.is_some() {
        (format!("{above}/openai"), azure_dated, query)
    } else {
        (format!("{above}/openai/v1"), azure_undated, query)
    };
    Address {
        models: format!("{root}/models"),
        root,
        paths,
        query: query.unwrap_or_default(),
    }
}

fn azure_undated(operation: Operation, _mode: Mode) -> Option<&'static str> {
    has_azure(operation).then_some(operation.path())
}

fn azure_dated(operation: Operation, _mode: Mode) -> Option<&'static str> {
    Some(match operation {
        Operation::ChatCompletions => "/deployments/{model}/chat/completions",
        Operation::Completions => "/deployments/{model}/completions",
        Operation::Embeddings => "/deployments/{model}/embeddings",
        Operation::ImageGenerations => "/deployments/{model}/images/generations",
        Operation::ImageEdits => "/deployments/{model}/images/edits",
        Operation::Speech => "/deployments/{model}/audio/speech",
        Operation::Transcriptions => "/deployments/{model}/audio/transcriptions",
        Operation::Translations => "/deployments/{model}/audio/translations",
        // The model stays in the body.
        Operation::Responses => "/responses",
        Operation::Moderations | Operation::Rerank => return None,
    })
}

fn has_azure(operation: Operation) -> bool {
    !matches!(operation, Operation::Moderations | Operation::Rerank)
}

/// Completes a base URL to what precedes an operation's path. `full` recognises the full address of
/// an operation and returns what precedes its path.
fn root(base: &Uri, version: &str, full: impl Fn(&str) -> Option<&str>) -> String {
    let text = trimmed(base);
    if let Some(root) = full(&text) {
        return root.to_owned();
    }
    let version = if is_versioned(base) { "" } else { version };
    text + version
}

/// Returns what precedes the path of the operation whose full address this is.
fn openai_root(text: &str) -> Option<&str> {
    let roots = Operation::ALL
        .iter()
        .filter_map(|operation| text.strip_suffix(operation.path()));
    // `/chat/completions` ends with another operation's path.
    roots.min_by_key(|root| root.len())
}

fn trimmed(base: &Uri) -> String {
    base.to_string().trim_end_matches('/').to_owned()
}

fn is_versioned(base: &Uri) -> bool {
    base.path().split('/').any(is_version)
}

/// Returns whether a path segment is a version: `v1`, `v1beta`, `v2alpha1`.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else {
        return false;
    };
    rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Encodes text for one segment of a path or one value of a query: all but RFC 3986's unreserved.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into memory has no way to fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The place of one operation.
#[derive(Debug)]
enum Place {
    /// The same for every model.
    Fixed(Uri),
    /// The upstream's model goes in between.
    Around(Box<str>, Box<str>),
}

impl Place {
    fn parse(text: &str) -> Result<Self, InvalidUri> {
        let Some((before, after)) = text.split_once(MODEL) else {
            return text.parse().map(Self::Fixed);
        };
        // Whatever the model, it will be a URL if this is one.
        format!("{before}m{after}").parse::<Uri>()?;
        Ok(Self::Around(before.into(), after.into()))
    }

    fn uri(&self, model: &str) -> Result<Uri, InvalidUri> {
        match self {
            Self::Fixed(uri) => Ok(uri.clone()),
            Self::Around(before, after) => {
                // Google's own lists write the collection before the name.
                let model = model.strip_prefix("models/").unwrap_or(model);
                format!("{before}{}{after}", encoded(model)).parse()
            }
        }
    }
}

/// All places of one provider, compiled once.
#[derive(Debug)]
pub(crate) struct Places {
    /// Whole and streamed, for each operation in the order of [`Operation::ALL`].
    operations: Vec<[Option<Place>; 2]>,
    models: Uri,
    /// What precedes and follows the id of a stored response.
    stored: (Box<str>, Box<str>),
}

impl Places {
    /// Completes an address for each operation.
    pub(crate) fn compile(address: &Address) -> Result<Self, InvalidUri> {
        let Address {
            root,
            paths,
            models,
            query,
        } = address;
        let place = |operation, mode| {
            let path = paths(operation, mode);
            path.map(|path| Place::parse(&format!("{root}{path}{query}")))
                .transpose()
        };
        let mut operations = Vec::with_capacity(Operation::ALL.len());
        for operation in Operation::ALL {
            operations.push([
                place(operation, Mode::Whole)?,
                place(operation, Mode::Streamed)?,
            ]);
        }
        Ok(Self {
            operations,
            models: format!("{models}{query}").parse()?,
            stored: (
                format!("{root}{}/", Operation::Responses.path()).into(),
                query.as_str().into(),
            ),
        })
    }

    /// Returns whether the provider's protocol has an operation.
    pub(crate) fn has(&self, operation: Operation) -> bool {
        self.place(operation, Mode::Whole).is_some()
    }

    /// Returns where an operation of a model is asked for; none where there is no such place, or the
    /// model's name makes it too long.
    pub(crate) fn of(&self, operation: Operation, mode: Mode, model: &str) -> Option<Uri> {
        self.place(operation, mode)?.uri(model).ok()
    }

    /// Returns where the list of models is.
    pub(crate) fn models(&self) -> &Uri {
        &self.models
    }

    /// Returns where a stored response is; none where its id makes it too long.
    pub(crate) fn stored(&self, stored: &Stored) -> Option<Uri> {
        let (before, query) = &self.stored;
        let id = encoded(&stored.id);
        let path = stored.part.path();
        let more = stored.query.as_deref().unwrap_or_default();
        let joint = match (query.is_empty(), more.is_empty()) {
            (_, true) => "",
            (true, false) => "?",
            (false, false) => "&",
        };
        format!("{before}{id}{path}{query}{joint}{more}")
            .parse()
            .ok()
    }

    fn place(&self, operation: Operation, mode: Mode) -> Option<&Place> {
        let [whole, streamed] = self.operations.get(operation as usize)?;
        match mode {
            Mode::Whole => whole.as_ref(),
            Mode::Streamed => streamed.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests;
