//! The requests as bytes, made before the load begins.

use crate::answer::text;

use super::Arguments;

/// Far apart, so that neighbours in time are no neighbours in a gateway's tables; prime to every
/// count that is smaller.
const STRIDE: usize = 7919;

/// All different requests of a run.
#[derive(Debug)]
pub(super) struct Requests(Vec<Vec<u8>>);

impl Requests {
    /// Makes a request for each model and each user.
    pub(super) fn new(arguments: &Arguments, stream: bool) -> Self {
        let count = arguments.models.max(arguments.users).max(1);
        let request = |number: usize| {
            let model = match arguments.models {
                0 | 1 => arguments.model.clone(),
                models => format!("{}/{}", arguments.model, number % models),
            };
            let body = body(&model, stream, arguments.request_bytes);
            let user = number % arguments.users.max(1);
            let address = arguments.address;
            let length = body.len();
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer token-of-user-{user:06}-bench\r\ncontent-type: application/json\r\naccept: application/json\r\nuser-agent: berry-bench\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_bytes()
        };
        Self((0..count).map(request).collect())
    }

    /// Returns the bytes of a run's request.
    pub(super) fn nth(&self, number: usize) -> &[u8] {
        &self.0[number.wrapping_mul(STRIDE) % self.0.len()]
    }
}

fn body(model: &str, stream: bool, length: usize) -> String {
    let with = |content: &str| {
        let stream = if stream { r#","stream":true"# } else { "" };
        format!(
            r#"{{"model":"{model}","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"{content}"}}],"temperature":0.7{stream}}}"#
        )
    };
    let short = with("Hello!");
    let missing = length.saturating_sub(short.len());
    if missing == 0 {
        return short;
    }
    with(&format!("Hello!{}", text(missing)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn requests(line: &str, stream: bool) -> Vec<String> {
        let line = format!("load --address 127.0.0.1:1 {line}");
        let arguments = Line::parse_from(line.split_whitespace()).arguments;
        let Requests(requests) = Requests::new(&arguments, stream);
        requests
            .into_iter()
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .collect()
    }

    fn split(request: &str) -> (&str, serde_json::Value, usize) {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (head, serde_json::from_str(body).unwrap(), body.len())
    }

    #[test]
    fn a_body_has_the_length_asked_for_and_says_so() {
        for wanted in [0, 200, 32_768, 1_048_576] {
            let requests = requests(&format!("--request-bytes {wanted}"), false);
            let (head, _, length) = split(&requests[0]);
            assert!(length == wanted || wanted < 180, "{wanted}: {length}");
            assert!(
                head.ends_with(&format!("content-length: {length}")),
                "{head}"
            );
        }
    }

    #[test]
    fn a_stream_is_asked_for_where_the_answer_is_one() {
        assert_eq!(split(&requests("", true)[0]).1["stream"], true);
        assert!(split(&requests("", false)[0]).1.get("stream").is_none());
    }

    #[test]
    fn requests_spread_over_models_and_users() {
        let requests = requests("--models 3 --users 2", false);
        let models: Vec<_> = requests
            .iter()
            .map(|r| split(r).1["model"].clone())
            .collect();
        assert_eq!(models, ["small/0", "small/1", "small/2"]);
        assert!(requests[1].contains("Bearer token-of-user-000001-bench"));
        assert!(requests[2].contains("Bearer token-of-user-000000-bench"));
    }
}
