//! What things are called in traces: the one table of names.
//!
//! Those of `gen_ai` are of the semantic conventions 1.41, the last that have them; they moved to a
//! repository of their own and are not stable. What the conventions have no word for is `berry`.

use berry_relay::Operation;

pub(super) const SERVICE_NAME: &str = "service.name";
pub(super) const SERVICE_VERSION: &str = "service.version";

pub(super) const HTTP_METHOD: &str = "http.request.method";
pub(super) const HTTP_ROUTE: &str = "http.route";
pub(super) const HTTP_STATUS: &str = "http.response.status_code";
pub(super) const HTTP_RESENDS: &str = "http.request.resend_count";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const USER_ID: &str = "user.id";

pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const PROVIDER: &str = "gen_ai.provider.name";
pub(super) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(super) const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub(super) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(super) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(super) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub(super) const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
pub(super) const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";

pub(super) const BERRY_REQUEST_ID: &str = "berry.request_id";
pub(super) const BERRY_MODEL: &str = "berry.model";
pub(super) const BERRY_STRATEGY: &str = "berry.strategy";
pub(super) const BERRY_PROVIDER: &str = "berry.provider";
pub(super) const BERRY_ATTEMPTS: &str = "berry.attempts";
pub(super) const BERRY_FIRST_BYTE: &str = "berry.first_byte_ms";
pub(super) const BERRY_OVERHEAD: &str = "berry.overhead_ms";
pub(super) const BERRY_CLIENT_LEFT: &str = "berry.client_left";

/// Returns what an operation is called.
pub(super) fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::ChatCompletions | Operation::Responses => "chat",
        Operation::Completions => "text_completion",
        Operation::Embeddings => "embeddings",
        Operation::Moderations => "moderation",
        Operation::ImageGenerations => "image_generation",
        Operation::ImageEdits => "image_edit",
        Operation::Speech => "speech",
        Operation::Transcriptions => "transcription",
        Operation::Translations => "translation",
        Operation::Rerank => "rerank",
    }
}

/// Returns what a provider is called whose protocol this is.
pub(super) fn provider(protocol: &'static str) -> &'static str {
    match protocol {
        "claude" => "anthropic",
        "gemini" => "gcp.gemini",
        "azure" => "azure.ai.openai",
        // Whoever speaks OpenAI's protocol is told from others by the server's address.
        protocol => protocol,
    }
}

#[cfg(test)]
mod tests {
    use berry_relay::PROTOCOLS;

    use super::*;

    #[test]
    fn every_protocol_has_a_name_of_the_conventions() {
        let names: Vec<_> = PROTOCOLS.iter().map(|row| provider(row.name)).collect();

        assert_eq!(
            names,
            ["openai", "azure.ai.openai", "anthropic", "gcp.gemini"]
        );
    }
}
