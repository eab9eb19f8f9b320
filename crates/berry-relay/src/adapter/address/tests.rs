use berry_core::config::{HttpVersion, ProxyChoice, ResponseTimeout};
use berry_core::{ProviderName, Secret};
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::exchange::StoredPart;

fn provider(base: &str, api_version: Option<&str>) -> Provider {
    let headers = api_version.map(|version| (API_VERSION, HeaderValue::from_str(version).unwrap()));
    Provider {
        id: ProviderName::parse("p").unwrap(),
        name: "p".into(),
        enabled: true,
        base_url: base.parse().unwrap(),
        api_key: Secret::new("k"),
        models: Vec::new(),
        headers: HeaderMap::from_iter(headers),
        protocol: "openai",
        response_timeout: ResponseTimeout::default(),
        max_retries: 0,
        max_concurrent_requests: None,
        http_version: HttpVersion::Auto,
        ca_file: None,
        proxy: ProxyChoice::Direct,
    }
}

/// Returns where chats of the model `m` are asked for.
fn chat(address: &Address) -> String {
    let places = Places::compile(address).unwrap();
    let uri = places.of(Operation::ChatCompletions, Mode::Whole, "m");
    uri.unwrap().to_string()
}

/// Protocol, `api-version`, base URL, and where chats of the model `m` are asked for.
const COMPLETED: &str = "
    openai - https://h https://h/v1/chat/completions
    openai - https://h/ https://h/v1/chat/completions
    openai - https://h/v1 https://h/v1/chat/completions
    openai - https://h/v1/ https://h/v1/chat/completions
    openai - http://h:8000/v1/chat/completions http://h:8000/v1/chat/completions
    openai - http://h/chat/completions http://h/chat/completions
    openai - http://h/v1/embeddings http://h/v1/chat/completions
    openai - http://h/openai/v1 http://h/openai/v1/chat/completions
    openai - http://h/v1beta/openai http://h/v1beta/openai/chat/completions
    openai - http://h/api http://h/api/v1/chat/completions
    openai - http://h/vllm http://h/vllm/v1/chat/completions
    openai - http://[::1]:8000 http://[::1]:8000/v1/chat/completions
    openai - http://v1 http://v1/v1/chat/completions
    claude - https://h https://h/v1/messages
    claude - https://h/v1/ https://h/v1/messages
    claude - https://h/v1/messages https://h/v1/messages
    claude - https://h/anthropic https://h/anthropic/v1/messages
    claude - https://h/messages https://h/messages
    gemini - https://h https://h/v1beta/models/m:generateContent
    gemini - https://h/v1beta https://h/v1beta/models/m:generateContent
    gemini - https://h/v1 https://h/v1/models/m:generateContent
    gemini - https://h/v1beta/models https://h/v1beta/models/m:generateContent
    gemini - https://h/v1beta/models/x:generateContent https://h/v1beta/models/m:generateContent
    gemini - https://h/v1beta1/projects/p/publishers/google https://h/v1beta1/projects/p/publishers/google/models/m:generateContent
    azure - https://r.openai.azure.com https://r.openai.azure.com/openai/v1/chat/completions
    azure - https://r.openai.azure.com/openai/v1/ https://r.openai.azure.com/openai/v1/chat/completions
    azure preview https://h/openai/v1 https://h/openai/v1/chat/completions?api-version=preview
    azure 2024-10-21 https://h/openai/v1 https://h/openai/v1/chat/completions
    azure 2024-10-21 https://h https://h/openai/deployments/m/chat/completions?api-version=2024-10-21
    azure 2024-10-21 https://h/openai https://h/openai/deployments/m/chat/completions?api-version=2024-10-21
    azure 2024-10-21 https://h/openai/deployments/d https://h/openai/deployments/d/chat/completions?api-version=2024-10-21
    azure 2024-10-21 https://h/openai/deployments/d/chat/completions https://h/openai/deployments/d/chat/completions?api-version=2024-10-21
";

#[test]
fn every_base_url_is_completed_by_the_same_rule() {
    for row in COMPLETED.trim().lines() {
        let columns: Vec<_> = row.split_whitespace().collect();
        let [protocol, version, base, expected] = columns[..] else {
            panic!("{row}");
        };
        let of = match protocol {
            "openai" => openai,
            "claude" => claude,
            "gemini" => gemini,
            _ => azure,
        };
        let version = (version != "-").then_some(version);

        assert_eq!(chat(&of(&provider(base, version))), expected, "{row}");
    }
}

#[test]
fn the_list_of_models_is_beside_the_operations() {
    for (address, expected) in [
        (openai(&provider("https://h", None)), "https://h/v1/models"),
        (
            openai(&provider("https://h/chat/completions", None)),
            "https://h/models",
        ),
        (
            claude(&provider("https://h/v1/messages", None)),
            "https://h/v1/models",
        ),
        (
            gemini(&provider("https://h", None)),
            "https://h/v1beta/models",
        ),
        (
            azure(&provider("https://h", None)),
            "https://h/openai/v1/models",
        ),
        (
            azure(&provider("https://h", Some("2024-10-21"))),
            "https://h/openai/models?api-version=2024-10-21",
        ),
        (
            azure(&provider("https://h/openai/deployments/d", Some("1"))),
            "https://h/openai/models?api-version=1",
        ),
    ] {
        assert_eq!(
            Places::compile(&address).unwrap().models().to_string(),
            expected
        );
    }
}

#[test]
fn operations_are_those_of_the_protocol() {
    let has = |address: Address| {
        let places = Places::compile(&address).unwrap();
        let operations = Operation::ALL.into_iter();
        operations
            .filter(|&operation| places.has(operation))
            .count()
    };

    assert_eq!(
        has(openai(&provider("https://h", None))),
        Operation::ALL.len()
    );
    assert_eq!(has(claude(&provider("https://h", None))), 1);
    assert_eq!(has(gemini(&provider("https://h", None))), 2);
    assert_eq!(has(azure(&provider("https://h", None))), 9);
    assert_eq!(has(azure(&provider("https://h", Some("2024-10-21")))), 9);
}

#[test]
fn a_model_cannot_leave_its_place_in_the_path() {
    let places = Places::compile(&gemini(&provider("https://h", None))).unwrap();
    for (model, expected) in [
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("a/../b?c#d e%é", "a%2F..%2Fb%3Fc%23d%20e%25%C3%A9"),
    ] {
        let uri = places.of(Operation::ChatCompletions, Mode::Streamed, model);

        let expected = format!("https://h/v1beta/models/{expected}:streamGenerateContent?alt=sse");
        assert_eq!(uri.unwrap().to_string(), expected);
    }
}

#[test]
fn a_stored_response_is_below_the_responses() {
    let stored = |query: Option<&str>| Stored {
        id: "resp_1/..".into(),
        part: StoredPart::InputItems,
        query: query.map(Into::into),
    };
    let openai = Places::compile(&openai(&provider("https://h", None))).unwrap();
    let azure = Places::compile(&azure(&provider("https://h", Some("1")))).unwrap();
    for (places, query, expected) in [
        (
            &openai,
            None,
            "https://h/v1/responses/resp_1%2F../input_items",
        ),
        (
            &openai,
            Some("limit=2"),
            "https://h/v1/responses/resp_1%2F../input_items?limit=2",
        ),
        (
            &azure,
            Some("limit=2"),
            "https://h/openai/responses/resp_1%2F../input_items?api-version=1&limit=2",
        ),
    ] {
        assert_eq!(places.stored(&stored(query)).unwrap().to_string(), expected);
    }
}
