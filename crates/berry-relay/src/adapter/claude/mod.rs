//! Anthropic's protocol: chat completions as messages, and back.
//!
//! A chat request has more members than a message request. Each is translated, dropped by a rule, or
//! refused with a 400 that names it; none changes its meaning in silence.
//!
//! | member | becomes |
//! |---|---|
//! | `model` | the backend's |
//! | `messages` | `system` and `messages`; see `request/message.rs` and `request/part.rs` |
//! | `max_completion_tokens`, else `max_tokens` | `max_tokens`; without either what the model's row in `model.rs` says |
//! | `tools`, `tool_choice`, `parallel_tool_calls` | see `request/tool.rs` |
//! | `response_format` | see `request/format.rs` |
//! | `reasoning_effort` | `thinking` and `output_config.effort`; see `request/thinking.rs` |
//! | `temperature` | itself, at most 1: OpenAI's scale ends at 2, what is above is as random as it can be |
//! | `top_p` | itself; dropped beside a `temperature` other than 1 on models that take only one |
//! | both, on models that take neither | dropped |
//! | `stop` | `stop_sequences`; white space alone is refused |
//! | `safety_identifier`, else `user` | `metadata.user_id`; dropped above 256 characters |
//! | `service_tier` | `default` and `flex` become `standard_only`; others are dropped, which means `auto` |
//! | `stream` | itself |
//! | `n` | refused unless 1 |
//! | `logprobs`, `top_logprobs`, `logit_bias` | refused where they ask for something |
//! | `modalities` | refused where it asks for more than text |
//! | `functions`, `function_call` | refused: `tools` and `tool_choice` replaced them |
//! | `moderation`, `web_search_options` | refused |
//! | `frequency_penalty`, `presence_penalty`, `seed`, `verbosity` | dropped: preferences without a counterpart |
//! | `prediction`, `prompt_cache_key`, `prompt_cache_options`, `prompt_cache_retention` | dropped: they change speed and price |
//! | `metadata`, `store` | dropped: they are about OpenAI's storage |
//! | `audio`, `stream_options` | dropped: `modalities` decides about audio, the stream's decoder about usage |
//! | `cache_control`, `thinking`, `top_k` | Anthropic's own, sent as they are |
//! | any other | dropped: options of other providers |

mod answer;
pub(crate) mod error;
mod model;
mod place;
mod request;
mod stream;
mod text;
mod usage;

#[cfg(test)]
mod tests;

use super::translate::{Chat, Decoder, Garbled, Heading, Reading, Translated, Untranslatable};

/// The tool whose input is the answer, where `response_format` becomes one.
const JSON_TOOL: &str = "answer_in_json";

/// The translator.
pub(crate) const CLAUDE: &dyn Chat = &Claude;

/// See the module's documentation.
#[derive(Debug)]
struct Claude;

impl Chat for Claude {
    fn request(&self, body: &[u8], model: &str) -> Result<Translated, Untranslatable> {
        request::translate(body, model)
    }

    fn answer(&self, body: &[u8], heading: &Heading, reading: Reading) -> Result<Vec<u8>, Garbled> {
        answer::translate(body, heading, reading)
    }

    fn decoder(&self, heading: Heading, reading: Reading) -> Box<dyn Decoder> {
        Box::new(stream::Stream::new(heading, reading))
    }
}
