//! What Gemini answers, as far as it is read.
//!
//! Everything borrows from the answer's bytes. Texts stay as they are written, escapes included:
//! a JSON string becomes a JSON string, so that nothing needs to be read but its ends. What only
//! describes an answer (counts, flags, indexes) never spoils it: of an odd shape it says nothing.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::adapter::count;
use crate::adapter::translate::Garbled;

/// A whole answer, or one event of a stream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(default, deserialize_with = "usage")]
    pub(super) usage_metadata: Reported,
    #[serde(borrow)]
    pub(super) model_version: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Garbled> {
        serde_json::from_slice(body).map_err(|_| Garbled)
    }

    /// Returns whether the prompt was refused.
    pub(super) fn is_blocked(&self) -> bool {
        let feedback = self.prompt_feedback.as_ref();
        feedback.is_some_and(|feedback| feedback.block_reason.is_some())
    }
}

/// Why there are no candidates.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow)]
    block_reason: Option<&'a RawValue>,
}

/// One of the answers asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(default, deserialize_with = "index")]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) finish_reason: Option<FinishReason>,
    #[serde(borrow)]
    pub(super) logprobs_result: Option<LogprobsResult<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<Part<'a>>>,
}

/// Something said, thought, called or drawn.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) thought: bool,
    #[serde(borrow)]
    pub(super) thought_signature: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) function_call: Option<FunctionCall<'a>>,
    #[serde(borrow)]
    pub(super) inline_data: Option<Blob<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    /// Arguments in pieces, which are never asked for.
    #[serde(default, deserialize_with = "flag")]
    pub(super) will_continue: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    #[serde(borrow)]
    pub(super) mime_type: &'a RawValue,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogprobsResult<'a> {
    #[serde(borrow, default, deserialize_with = "or_none")]
    pub(super) chosen_candidates: Vec<Logprob<'a>>,
    #[serde(borrow, default, deserialize_with = "or_none")]
    pub(super) top_candidates: Vec<TopLogprobs<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TopLogprobs<'a> {
    #[serde(borrow, default, deserialize_with = "or_none")]
    pub(super) candidates: Vec<Logprob<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logprob<'a> {
    #[serde(borrow)]
    pub(super) token: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) log_probability: Option<&'a RawValue>,
}

/// Counts of tokens. Those of thoughts are not part of the candidates', those that were cached are
/// part of the prompt's.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct UsageMetadata {
    #[serde(rename = "promptTokenCount", default, deserialize_with = "count::read")]
    pub(super) prompt: Option<u64>,
    #[serde(
        rename = "toolUsePromptTokenCount",
        default,
        deserialize_with = "count::read"
    )]
    pub(super) tool_use_prompt: Option<u64>,
    #[serde(
        rename = "cachedContentTokenCount",
        default,
        deserialize_with = "count::read_share"
    )]
    pub(super) cached_content: Option<u64>,
    #[serde(
        rename = "candidatesTokenCount",
        default,
        deserialize_with = "count::read"
    )]
    pub(super) candidates: Option<u64>,
    #[serde(
        rename = "thoughtsTokenCount",
        default,
        deserialize_with = "count::read"
    )]
    pub(super) thoughts: Option<u64>,
    /// All of them.
    #[serde(
        rename = "totalTokenCount",
        default,
        deserialize_with = "count::read_share"
    )]
    pub(super) total: Option<u64>,
}

fn index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let index = count::read_share(deserializer)?;
    Ok(index.and_then(|index| index.try_into().ok()).unwrap_or(0))
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(<&RawValue>::deserialize(deserializer)?.get() == "true")
}

/// What is said of the tokens; garbled where one of the sums makes no sense.
pub(super) type Reported = Option<Result<UsageMetadata, Garbled>>;

pub(super) fn usage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reported, D::Error> {
    let usage = <&RawValue>::deserialize(deserializer)?.get();
    let read = serde_json::from_str::<Option<UsageMetadata>>(usage);
    Ok(read.map_err(|_| Garbled).transpose())
}

/// Reads null as a list of nothing.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Why a candidate ended, in the four ways that OpenAI's clients can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "&str")]
pub(super) enum FinishReason {
    /// It has not ended.
    Unspecified,
    /// The model ended it.
    Stop,
    /// The limit of tokens ended it.
    Length,
    /// The provider ended it: for safety, recitation, or a reason it does not tell.
    Filtered,
    /// The model failed to say what it was to say.
    Failed(Failure),
}

/// The ways in which a generation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    MalformedFunctionCall,
    UnexpectedToolCall,
    TooManyToolCalls,
    MissingThoughtSignature,
    MalformedResponse,
    NoImage,
}

impl Failure {
    /// Returns its name, as `code` of an error.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::MalformedFunctionCall => "malformed_function_call",
            Self::UnexpectedToolCall => "unexpected_tool_call",
            Self::TooManyToolCalls => "too_many_tool_calls",
            Self::MissingThoughtSignature => "missing_thought_signature",
            Self::MalformedResponse => "malformed_response",
            Self::NoImage => "no_image",
        }
    }
}

impl From<&str> for FinishReason {
    fn from(name: &str) -> Self {
        match name {
            "" | "FINISH_REASON_UNSPECIFIED" => Self::Unspecified,
            "STOP" => Self::Stop,
            "MAX_TOKENS" | "CONTINUATION" => Self::Length,
            "MALFORMED_FUNCTION_CALL" => Self::Failed(Failure::MalformedFunctionCall),
            "UNEXPECTED_TOOL_CALL" => Self::Failed(Failure::UnexpectedToolCall),
            "TOO_MANY_TOOL_CALLS" => Self::Failed(Failure::TooManyToolCalls),
            "MISSING_THOUGHT_SIGNATURE" => Self::Failed(Failure::MissingThoughtSignature),
            "MALFORMED_RESPONSE" => Self::Failed(Failure::MalformedResponse),
            "NO_IMAGE" | "IMAGE_OTHER" => Self::Failed(Failure::NoImage),
            _ => Self::Filtered,
        }
    }
}

/// Returns what is between the quotes of a JSON string, escapes included.
pub(super) fn inner(string: &RawValue) -> Result<&str, Garbled> {
    let inner = string.get().strip_prefix('"');
    inner.and_then(|rest| rest.strip_suffix('"')).ok_or(Garbled)
}
