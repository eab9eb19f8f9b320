//! What translation costs. Measured, not asserted: a machine under load would fail it for nothing.
//! `cargo test --release -p berry-relay speed -- --ignored --nocapture`

use std::hint::black_box;

use tokio::time::Instant;

use super::super::CLAUDE;
use super::{heading, reading};

const TIMES: u32 = 200_000;

#[test]
#[ignore = "measures"]
fn an_event() {
    for data in [
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" a few words of \"text\""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"location\": \"Par"}}"#,
        r#"{"type":"ping"}"#,
    ] {
        let mut decoder = CLAUDE.decoder(heading(), reading(""));
        let mut out = Vec::new();
        let begin = Instant::now();
        for _ in 0..TIMES {
            out.clear();
            decoder.event(black_box(data.as_bytes()), &mut out).unwrap();
            black_box(&out);
        }
        println!("{:?} for {data}", begin.elapsed() / TIMES);
    }
}

#[test]
#[ignore = "measures"]
fn an_answer_of_a_kilobyte() {
    let text = "words and \\\"quotes\\\" and \\n lines ".repeat(26);
    let body = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":1,"output_tokens":2}}}}"#
    );
    let begin = Instant::now();
    for _ in 0..TIMES {
        let answer = CLAUDE.answer(black_box(body.as_bytes()), &heading(), reading(""));
        black_box(answer.unwrap());
    }
    println!("{:?} for {} bytes", begin.elapsed() / TIMES, body.len());
}
