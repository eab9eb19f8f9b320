use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::script::{BEFORE, End, Script, Seen, Then, now, outgoing, read};
use super::{Form, Session};
use crate::fuzz;

const OK: &str = "HTTP/1.1 200 OK\r\n";

fn poll(session: &mut Session<Script>) -> Poll<Option<Bytes>> {
    let data = session.poll_data(&mut Context::from_waker(Waker::noop()));
    data.map(|data| data.map(Result::unwrap))
}

/// Sends a request whose answer's head is there.
fn begin(script: Script, body: &[u8]) -> Session<Script> {
    let mut session = Session::new(script);
    let sent = now(session.send(&outgoing(body), Form::Origin));
    assert!(matches!(sent, Poll::Ready(Ok(_))), "{sent:?}");
    session
}

#[test]
fn a_connection_stays_after_a_whole_answer_and_nothing_else() {
    let stays = End::Whole { stays: true };
    let goes = End::Whole { stays: false };
    for (answer, then, end) in [
        ("content-length: 2\r\n\r\nok", Then::Hold, stays),
        ("content-length: 2\r\n\r\nok", Then::Close, goes),
        ("content-length: 2\r\n\r\nokay", Then::Hold, goes),
        (
            "content-length: 2\r\nconnection: close\r\n\r\nok",
            Then::Hold,
            goes,
        ),
        ("content-length: 0\r\n\r\n", Then::Hold, stays),
        ("content-length: 3\r\n\r\nok", Then::Hold, End::Waiting),
        ("content-length: 3\r\n\r\nok", Then::Close, End::Cut),
        (
            "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Then::Hold,
            stays,
        ),
        (
            "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n0",
            Then::Hold,
            goes,
        ),
        (
            "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
            Then::Close,
            End::Cut,
        ),
        (
            "transfer-encoding: chunked\r\n\r\n2\r\nok\r\nx",
            Then::Hold,
            End::NotHttp,
        ),
        ("x: y\r\n\r\nok", Then::Hold, End::Waiting),
        ("x: y\r\n\r\nok", Then::Close, goes),
        ("x: y\r\n\r", Then::Close, End::Cut),
        ("x y\r\n\r\n", Then::Hold, End::NotHttp),
    ] {
        let seen = read([format!("{OK}{answer}").as_bytes()], then);

        assert_eq!(seen.end, end, "{answer:?} and {then:?}");
        let is_read = seen.head.is_some() && !answer.ends_with("length: 0\r\n\r\n");
        assert_eq!(
            seen.body,
            if is_read { &b"ok"[..] } else { b"" },
            "{answer:?}"
        );
    }
}

#[test]
fn a_burst_of_chunks_is_one_piece() {
    let burst = format!("{OK}transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n");
    let more = &b"1\r\nd\r\n2\r\nef\r\n0\r\n\r\n"[..];
    let mut session = begin(Script::new([burst.as_bytes(), more], Then::Hold), b"");

    assert_eq!(poll(&mut session), Poll::Ready(Some("abc".into())));
    assert_eq!(poll(&mut session), Poll::Ready(Some("def".into())));
    assert!(session.may_stay());
    assert_eq!(poll(&mut session), Poll::Ready(None));
}

#[test]
fn nothing_is_read_that_nobody_asks_for() {
    let head = format!("{OK}content-length: 4\r\n\r\n");
    let mut session = begin(
        Script::new([head.as_bytes(), b"ab", b"cd"], Then::Hold),
        b"",
    );

    assert_eq!(session.stream.said.len(), 2);
    assert_eq!(poll(&mut session), Poll::Ready(Some("ab".into())));
    assert_eq!(session.stream.said.len(), 1);
}

#[test]
fn a_long_body_comes_in_large_pieces_and_a_small_one_of_it_holds_little() {
    const LONG: usize = 200_000;
    let body = vec![b'x'; LONG];
    for head in [
        format!("{OK}content-length: {LONG}\r\n\r\n"),
        format!("{OK}transfer-encoding: chunked\r\n\r\n{LONG:x}\r\n"),
    ] {
        let (first, rest) = body.split_at(100);
        let script = Script::new([head.as_bytes(), first, rest, b"\r\n0\r\n\r\n"], Then::Hold);
        let mut session = begin(script, b"");
        let (mut pieces, mut length) = (Vec::new(), 0);
        while length < LONG {
            let Poll::Ready(Some(data)) = poll(&mut session) else {
                panic!("the body is there")
            };
            length += data.len();
            pieces.push(data.try_into_mut().unwrap().capacity());
        }

        assert_eq!(pieces.first(), Some(&100));
        assert!(pieces.len() <= 6, "{pieces:?}");
    }
}

#[test]
fn a_body_comes_in_one_piece_where_that_is_wanted_and_it_is_not_too_long() {
    for (length, most, stays, came) in [
        (6, 6, true, &[Some(""), Some("abcdef")][..]),
        (5, 6, false, &[Some(""), Some("abcde")]),
        (6, 5, true, &[Some("abcd"), Some("ef")]),
        (7, 9, false, &[Some(""), Some(""), None]),
    ] {
        let head = format!("{OK}content-length: {length}\r\n\r\n");
        let script = Script::new([head.as_bytes(), b"abcd", b"ef"], Then::Hold);
        let mut session = begin(script, b"");

        session.gather(most);

        for piece in came {
            let expected = piece.map_or(Poll::Pending, |piece| Poll::Ready(Some(piece.into())));
            assert_eq!(poll(&mut session), expected, "{length} of {most}");
        }
        assert_eq!(session.may_stay(), stays, "{length} of {most}");
    }
}

/// Returns an answer with a body of so many bytes, of which so many are there.
fn answer(length: usize, here: usize) -> Vec<u8> {
    let head = format!("{OK}content-length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; here]].concat()
}

/// Begins to read an answer on a connection that has carried another.
fn begin_after(before: &[u8], answer: &[u8]) -> Session<Script> {
    let mut session = begin(Script::new([before], Then::Hold), b"");
    while let Poll::Ready(Some(_)) = poll(&mut session) {}
    session.stream = Script::new([answer], Then::Hold);
    session.stream.is_late = true;
    let sent = now(session.send(&outgoing(b""), Form::Origin));
    assert!(matches!(sent, Poll::Ready(Ok(_))), "{sent:?}");
    session
}

/// The same after a long one.
fn begin_after_long(length: usize, here: usize) -> Session<Script> {
    begin_after(&answer(BEFORE, BEFORE), &answer(length, here))
}

#[test]
fn after_a_long_answer_all_of_the_next_is_read_with_its_head() {
    for (length, here, first) in [
        (BEFORE, BEFORE, BEFORE),
        (
            BEFORE + BEFORE / 5,
            BEFORE + BEFORE / 5,
            BEFORE + BEFORE / 5,
        ),
        (BEFORE, BEFORE - 1, BEFORE - 1),
        (1, 1, 1),
        (1, 2, 1),
    ] {
        let mut session = begin_after_long(length, here);
        let stays = length == here;

        assert!(session.stream.said.is_empty(), "{length} and {here}");
        let Poll::Ready(Some(data)) = poll(&mut session) else {
            panic!("{length} and {here}: nothing came")
        };
        assert_eq!(data, vec![b'x'; first], "{length} and {here}");
        assert!(data.try_into_mut().unwrap().capacity() <= 2 * length.max(50));
        assert_eq!(session.may_stay(), stays, "{length} and {here}");
    }
}

#[test]
fn after_a_long_answer_the_rest_of_the_next_is_read_into_the_same_piece() {
    for (length, here) in [
        (2 * BEFORE, 2 * BEFORE),
        (BEFORE, BEFORE - 10),
        (BEFORE, 0),
        (100, 40),
        (7 * BEFORE, BEFORE),
    ] {
        let mut session = begin_after_long(length, here);
        session.gather(7 * BEFORE);
        let rest = vec![b'x'; length - here];
        session
            .stream
            .said
            .extend(rest.chunks(9_000).map(<[u8]>::to_vec));

        let mut came = Vec::new();
        while !session.has_ended() {
            let Poll::Ready(Some(data)) = poll(&mut session) else {
                panic!("{length} and {here}: {came:?}")
            };
            came.push(data);
        }

        let whole = came.pop().unwrap();
        assert!(whole == vec![b'x'; length], "{length} and {here}");
        assert!(came.iter().all(Bytes::is_empty), "{length} and {here}");
        assert!(whole.try_into_mut().unwrap().capacity() <= 2 * length.max(100));
        assert!(session.may_stay(), "{length} and {here}");
    }
}

#[test]
fn as_much_is_read_with_a_head_as_the_answer_before_had_unless_that_was_too_much() {
    const MOST: usize = 128 * 1024;
    const USUAL: usize = 8 * 1024;
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let next = answer(BEFORE, BEFORE);
    for (before, unread) in [
        (answer(MOST, MOST), 0),
        (answer(MOST + 1, MOST + 1), next.len() - USUAL),
        (answer(100, 100), next.len() - USUAL),
        (chunked.into_bytes(), next.len() - USUAL),
    ] {
        let session = begin_after(&before, &next);

        let left: usize = session.stream.said.iter().map(Vec::len).sum();
        assert_eq!(left, unread, "after {}", before.len());
    }
}

#[test]
fn an_early_answer_is_read_while_the_request_is_written() {
    let answer = format!("{OK}content-length: 4\r\n\r\n");
    let mut script = Script::new([answer.as_bytes(), b"ab", b"cd"], Then::Hold);
    script.room = 10;
    let mut session = begin(script, &[b'x'; 1000]);

    session.stream.room = usize::MAX;
    assert_eq!(poll(&mut session), Poll::Ready(Some("ab".into())));
    assert_eq!(poll(&mut session), Poll::Ready(Some("cd".into())));

    assert!(session.stream.heard.ends_with(&[b'x'; 1000]));
    assert!(session.may_stay());
}

#[test]
fn a_connection_whose_request_was_never_written_whole_does_not_stay() {
    for is_deaf in [false, true] {
        let answer = format!("{OK}content-length: 2\r\n\r\n");
        let mut script = Script::new([answer.as_bytes(), b"no"], Then::Hold);
        (script.room, script.is_deaf) = (10, is_deaf);
        let mut session = begin(script, &[b'x'; 1000]);

        assert_eq!(poll(&mut session), Poll::Ready(Some("no".into())));

        assert_eq!(poll(&mut session), Poll::Ready(None));
        assert!(!session.may_stay(), "deaf: {is_deaf}");
    }
}

#[test]
fn what_was_heard_is_known_after_a_break() {
    for (said, heard) in [("", false), ("H", true)] {
        let mut session = Session::new(Script::new([said.as_bytes()], Then::Close));

        let sent = now(session.send(&outgoing(b""), Form::Origin));

        assert!(matches!(sent, Poll::Ready(Err(_))));
        assert_eq!(session.has_heard(), heard);
    }
}

#[test]
fn a_kept_connection_with_anything_to_say_is_dead() {
    for (said, then, alive) in [
        ("", Then::Hold, true),
        ("", Then::Close, false),
        ("HTTP/1.1 408 Request Timeout\r\n", Then::Hold, false),
    ] {
        let mut session = Session::new(Script::new([said.as_bytes()], then));

        assert_eq!(session.is_alive(), alive, "{said} {then:?}");
    }
}

/// Answers of which much is what a reader looks at.
fn answers() -> impl Strategy<Value = String> {
    let status = prop_oneof![
        8 => Just("HTTP/1.1 200 OK\r\n"),
        1 => Just("HTTP/1.0 200 OK\r\n"),
        1 => Just("HTTP/1.1 204 No Content\r\n"),
        1 => Just("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 500\r\n"),
        1 => Just("HTTP/1.1 101 Switch\r\n"),
        1 => Just("\r\nHTTP/1.1 200 \r\n"),
    ];
    let header = prop_oneof![
        2 => Just("content-length: 3\r\n"),
        1 => Just("Content-Length: 3, 3\r\n"),
        1 => Just("content-length: 4\r\n"),
        1 => Just("content-length: x\r\n"),
        4 => Just("transfer-encoding: chunked\r\n"),
        1 => Just("transfer-encoding: gzip\r\n"),
        1 => Just("connection: close\r\n"),
        1 => Just("connection: keep-alive\r\n"),
        1 => Just("x: a\tb\r\n"),
        1 => Just("x: a\n"),
        1 => Just(" x: a\r\n"),
        1 => Just("x : a\r\n"),
    ];
    let body = prop_oneof![
        4 => Just("3\r\nabc\r\n"),
        1 => Just("a;x=y\r\n0123456789\r\n"),
        1 => Just("00001 \r\na\r\n"),
        2 => Just("0\r\n\r\n"),
        1 => Just("0\r\nx: y\r\n\r\n"),
        1 => Just("abc"),
        1 => Just("\r\n"),
        1 => Just("2\nab\r\n"),
        1 => Just("ffffffffffffffff1\r\n"),
    ];
    let headers = proptest::collection::vec(header, 0..4);
    let bodies = proptest::collection::vec(body, 0..5);
    let whole = (status, headers, bodies).prop_map(|(status, headers, bodies)| {
        [status, &headers.concat(), "\r\n", &bodies.concat()].concat()
    });
    // One byte is another, now and then.
    (whole, 0_usize..2_000, any::<char>()).prop_map(|(whole, place, other)| {
        let change = |(at, c)| if at == place { other } else { c };
        whole.chars().enumerate().map(change).collect()
    })
}

/// Reads an answer as hyper does; none where it refuses.
async fn read_with_hyper(answer: &[u8]) -> Option<Seen> {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours))
        .await
        .ok()?;
    let mut request = http::Request::new(Full::new(Bytes::from_static(b"hello")));
    *request.method_mut() = http::Method::POST;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some((head, body))
    };
    let upstream = async {
        let mut asked = Vec::new();
        while !asked.ends_with(b"hello") {
            theirs.read_buf(&mut asked).await.ok()?;
        }
        theirs.write_all(answer).await.ok()?;
        theirs.shutdown().await.ok()
    };
    let (exchanged, _, _) = tokio::join!(exchange, connection, upstream);
    let (head, body) = exchanged?;
    Some(Seen {
        head: Some((head.status, head.headers)),
        body: body.to_vec(),
        end: End::Whole { stays: false },
    })
}

proptest! {
    #[test]
    fn any_answer_is_the_same_wherever_it_is_cut(answer in answers(), cut in 0_usize..200) {
        fuzz::http1_answer(answer.as_bytes(), cut);
    }

    #[test]
    fn what_is_accepted_hyper_accepts_and_takes_for_the_same(answer in answers()) {
        let seen = read([answer.as_bytes()], Then::Close);
        if seen.end == (End::Whole { stays: false }) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let theirs = runtime.block_on(read_with_hyper(answer.as_bytes()));

            prop_assert_eq!(theirs, Some(seen));
        }
    }
}
