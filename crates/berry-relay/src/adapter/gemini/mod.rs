//! Google's protocol: `generateContent`, `streamGenerateContent`, `batchEmbedContents`.
//!
//! # Fields of a request
//!
//! A field is translated, or dropped where an answer without it is still the one asked for, or
//! refused. Members that OpenAI's schema does not have are dropped; null counts as absent.
//!
//! | field | becomes |
//! |---|---|
//! | `model` | part of the address |
//! | `messages` | `systemInstruction` and `contents`, see [`message`] |
//! | `messages[].name` | dropped |
//! | `messages[].reasoning_content` | dropped: what was thought comes back as its signature |
//! | `messages[].content[].image_url`, `file` | `inlineData` or `fileData`, see [`part`]; `detail` and `filename` are dropped |
//! | `messages[].content[].input_audio` | `inlineData` |
//! | `messages[].audio`, `function_call`; role `function` | refused |
//! | `tools` | `functionDeclarations`, see [`tool`]; `strict` is dropped: schemas are followed, without a guarantee; custom tools are refused |
//! | `tool_choice` | `functionCallingConfig`; without `tools`, a demand for a call is refused and the rest dropped |
//! | `parallel_tool_calls` | dropped where true, without tools, or with one function demanded; refused else |
//! | `functions`, `function_call` | refused |
//! | `temperature`, `top_p`, `top_k`, `presence_penalty`, `frequency_penalty`, `seed` | the same in `generationConfig`; a seed has 32 bits |
//! | `max_completion_tokens`, else `max_tokens` | `maxOutputTokens`, which includes thoughts |
//! | `stop` | `stopSequences` |
//! | `n` | `candidateCount` |
//! | `logprobs`, `top_logprobs` | `responseLogprobs`, `logprobs` |
//! | `logit_bias` | refused, unless empty |
//! | `response_format` | `responseMimeType`, `responseJsonSchema` |
//! | `reasoning_effort` | `thinkingConfig` with `includeThoughts`: a level (`none` is the lowest, `xhigh` and `max` are `HIGH`), or a budget in tokens for models before Gemini 3 |
//! | `verbosity` | dropped: a hint |
//! | `modalities`, `audio` | dropped with text only; refused else |
//! | `moderation`, `web_search_options` | refused |
//! | `service_tier` | `serviceTier` for `flex` and `priority`; `auto` and `default` need no word; others are refused |
//! | `stream`, `stream_options` | part of the address, and of how the stream is translated |
//! | `prediction`, `prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options` | dropped: they make answers faster, not different |
//! | `metadata`, `store`, `user`, `safety_identifier` | dropped: nothing of them is sent to Google |
//!
//! # Answers
//!
//! | Gemini | becomes |
//! |---|---|
//! | text, thoughts | `content`, `reasoning_content` |
//! | `functionCall` | `tool_calls`, whole, with Gemini's id or one made of the answer's |
//! | `inlineData` | `images`, with `data:` URLs |
//! | `thoughtSignature` | `extra_content.google.thought_signature` of the call or message it came with; of several of a message, the last |
//! | `STOP` | `stop`, or `tool_calls` where there are any |
//! | `MAX_TOKENS`, `CONTINUATION` | `length` |
//! | `MALFORMED_FUNCTION_CALL`, `UNEXPECTED_TOOL_CALL`, `TOO_MANY_TOOL_CALLS`, `MISSING_THOUGHT_SIGNATURE`, `MALFORMED_RESPONSE`, `NO_IMAGE`, `IMAGE_OTHER` | an error: there is no answer to speak of, and another attempt may bring one |
//! | any other `finishReason` | `content_filter`: the provider ended it |
//! | `promptFeedback.blockReason` without candidates | one choice without content, `content_filter` |
//! | no candidates and no reason; a candidate without an end | no answer in Gemini's protocol |
//! | `logprobsResult` | `logprobs`, without bytes |
//! | `usageMetadata` | `usage`: thoughts are part of the completion |
//! | arguments in pieces (`partialArgs`), which are never asked for | no answer in Gemini's protocol |
//! | `citationMetadata`, `groundingMetadata`, `safetyRatings` | dropped |

mod answer;
pub(crate) mod embedding;
pub(crate) mod error;
mod head;
mod member;
mod message;
mod model;
mod part;
mod request;
mod said;
mod stream;
mod tool;
mod wire;

#[cfg(test)]
mod tests;

use crate::adapter::translate::{
    Chat, Decoder, Garbled, Heading, Reading, Translated, Untranslatable,
};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Gemini;

impl Chat for Gemini {
    fn request(&self, body: &[u8], model: &str) -> Result<Translated, Untranslatable> {
        let body = request::translate(body, model).map_err(member::named)?;
        let reading = Reading::default();
        Ok(Translated { body, reading })
    }

    fn answer(&self, body: &[u8], heading: &Heading, _: Reading) -> Result<Vec<u8>, Garbled> {
        answer::translate(body, heading)
    }

    fn decoder(&self, heading: Heading, _: Reading) -> Box<dyn Decoder> {
        Box::new(stream::Stream::new(heading))
    }
}
