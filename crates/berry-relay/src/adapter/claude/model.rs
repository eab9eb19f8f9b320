//! What a model understands, as far as its name tells.
//!
//! Anthropic refuses what a model does not know instead of ignoring it, and one request must be
//! said differently to different generations. The rules are by version, so that the next model of
//! a known line needs no change here:
//!
//! | models | thinking | `temperature`, `top_p` | JSON schemas | forced tools | tokens unless told |
//! |---|---|---|---|---|---|
//! | no Claude by name (servers that speak the protocol) | a budget | both | no | yes | 8192 |
//! | Claude before 3.5 | none | both | no | yes | 4096 |
//! | 3.5 | none | both | no | yes | 8192 |
//! | 3.7, 4.0 | a budget | both | no | yes | 32000 |
//! | 4.1 | a budget | either | no | yes | 32000 |
//! | 4.5 | a budget | either | yes | yes | 32000 |
//! | 4.6 | adaptive | either | yes | yes | 32000 |
//! | 4.7 and later, Claude without a version | adaptive | neither | yes | yes | 32000 |
//! | Opus 5.5 and later, Fable, Mythos | always | neither | yes | no | 32000 |
//!
//! Sources: Anthropic's pages on adaptive thinking, effort, structured outputs and model migration;
//! the error messages that users of other clients report.

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) thinking: Thinking,
    pub(super) sampling: Sampling,
    /// Whether answers can be held to a JSON schema.
    pub(super) schemas: bool,
    /// Whether `effort` has the level `xhigh` and the level `max`.
    pub(super) high_efforts: bool,
    /// The limit of an answer where the client sets none: OpenAI has none then, Anthropic demands
    /// one. What every model of the row accepts.
    pub(super) most_tokens: u64,
}

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It cannot.
    Never,
    /// With a number of tokens.
    Budget,
    /// As much as it finds right, guided by an effort.
    Adaptive,
    /// Like [`Self::Adaptive`], and it cannot be stopped; so it cannot be forced to use a tool.
    Always,
}

/// Which of `temperature` and `top_p` a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    Both,
    Either,
    Neither,
}

impl Model {
    /// Reads a model's name, in the spelling of any host: `claude-sonnet-4-5-20250929`,
    /// `anthropic.claude-opus-4-6-v1:0`, `claude-opus-4@20250514`, `claude-3-7-sonnet-latest`.
    pub(super) fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let Some((_, rest)) = name.split_once("claude") else {
            return Self::new(Thinking::Budget, Sampling::Both, 8192);
        };
        let version = version(rest);
        let line = |word| rest.contains(word);
        if line("fable") || line("mythos") || line("opus") && version >= Some(5_05) {
            return Self::current(Thinking::Always);
        }
        match version {
            Some(..3_05) => Self::new(Thinking::Never, Sampling::Both, 4096),
            Some(..3_07) => Self::new(Thinking::Never, Sampling::Both, 8192),
            Some(..4_01) => Self::new(Thinking::Budget, Sampling::Both, 32_000),
            Some(..4_05) => Self::new(Thinking::Budget, Sampling::Either, 32_000),
            Some(..4_06) => Self {
                schemas: true,
                ..Self::new(Thinking::Budget, Sampling::Either, 32_000)
            },
            Some(..4_07) => Self {
                sampling: Sampling::Either,
                high_efforts: false,
                ..Self::current(Thinking::Adaptive)
            },
            _ => Self::current(Thinking::Adaptive),
        }
    }

    /// Returns whether it can be made to use a tool.
    pub(super) fn can_be_forced(self) -> bool {
        self.thinking != Thinking::Always
    }

    const fn new(thinking: Thinking, sampling: Sampling, most_tokens: u64) -> Self {
        Self {
            thinking,
            sampling,
            schemas: false,
            high_efforts: false,
            most_tokens,
        }
    }

    const fn current(thinking: Thinking) -> Self {
        Self {
            thinking,
            sampling: Sampling::Neither,
            schemas: true,
            high_efforts: true,
            most_tokens: 32_000,
        }
    }
}

/// Returns the first number of a name, times a hundred, and the one right after it: 4.6 is 406.
/// Dates are no versions.
fn version(name: &str) -> Option<u16> {
    let mut words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| word.strip_prefix('v').unwrap_or(word))
        .skip_while(|word| number(word).is_none());
    let major = words.next().and_then(number)?;
    let minor = words.next().and_then(number).unwrap_or(0);
    Some(major * 100 + minor)
}

/// Reads a number of at most two digits.
fn number(word: &str) -> Option<u16> {
    (word.len() <= 2).then(|| word.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_every_hosts_spelling() {
        for (name, expected) in [
            ("-sonnet-4-5-20250929", Some(4_05)),
            ("-opus-4-6-v1:0", Some(4_06)),
            ("-opus-4@20250514", Some(4_00)),
            ("-opus-4-20250514", Some(4_00)),
            ("-opus-4.7", Some(4_07)),
            ("-3-7-sonnet-latest", Some(3_07)),
            ("-3-opus-20240229", Some(3_00)),
            ("-3-5-sonnet-20241022-v2:0", Some(3_05)),
            ("-v2:1", Some(2_01)),
            ("-instant-v1", Some(1_00)),
            ("-opus-5", Some(5_00)),
            ("-latest", None),
        ] {
            assert_eq!(version(name), expected, "{name}");
        }
    }

    #[test]
    fn what_a_model_understands_follows_its_version() {
        use Sampling::{Both, Either, Neither};
        use Thinking::{Adaptive, Always, Budget, Never};
        for (name, thinking, sampling, schemas, most_tokens) in [
            ("glm-4.6", Budget, Both, false, 8192),
            ("claude-3-haiku-20240307", Never, Both, false, 4096),
            ("claude-3-5-haiku-latest", Never, Both, false, 8192),
            ("claude-3-7-sonnet-20250219", Budget, Both, false, 32_000),
            ("claude-opus-4-20250514", Budget, Both, false, 32_000),
            ("claude-opus-4-1", Budget, Either, false, 32_000),
            ("claude-sonnet-4-5", Budget, Either, true, 32_000),
            ("claude-opus-4-6", Adaptive, Either, true, 32_000),
            ("claude-opus-4-8", Adaptive, Neither, true, 32_000),
            ("claude-sonnet-5", Adaptive, Neither, true, 32_000),
            ("claude-opus-5", Adaptive, Neither, true, 32_000),
            ("claude-opus-5-5", Always, Neither, true, 32_000),
            ("claude-fable-5", Always, Neither, true, 32_000),
            ("claude-mythos-preview", Always, Neither, true, 32_000),
            ("claude-latest", Adaptive, Neither, true, 32_000),
            ("us.anthropic.CLAUDE-Opus-9", Always, Neither, true, 32_000),
        ] {
            let model = Model::of(name);

            assert_eq!(
                (
                    model.thinking,
                    model.sampling,
                    model.schemas,
                    model.most_tokens
                ),
                (thinking, sampling, schemas, most_tokens),
                "{name}"
            );
        }
    }
}
