use proptest::prelude::*;

use super::*;

/// Pushes the frames and returns the events seen and the bytes forwarded.
fn split<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Vec<u8>) {
    let mut splitter = Splitter::default();
    let (mut events, mut forwarded) = (Vec::new(), Vec::new());
    let mut observe = |_: Name, data: &[u8]| {
        events.push(String::from_utf8_lossy(data).into_owned());
        Fate::Pass
    };
    for frame in frames {
        forwarded.extend(
            splitter
                .push(&Bytes::copy_from_slice(frame), &mut observe)
                .complete,
        );
    }
    forwarded.extend(splitter.finish(&mut observe).complete);
    (events, forwarded)
}

#[test]
fn events_are_found_whatever_ends_their_lines() {
    for (stream, expected) in [
        ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
        ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
        ("data: a\r\n\ndata: b\n\r\n", vec!["a", "b"]),
        ("data:a\n\n", vec!["a"]),
        ("data:  a\n\n", vec![" a"]),
        ("data: a\ndata: b\n\n", vec!["a\nb"]),
        ("data\ndata:\n\n", vec![]),
        ("data:\n\ndata: \n\ndata: a\n\n", vec!["a"]),
        (": ping\n\ndata: a\n\n", vec!["a"]),
        ("event: x\nid: 1\ndata: a\nretry: 5\n\n", vec!["a"]),
        ("\u{feff}data: a\n\n", vec!["a"]),
        ("data: é€😀\n\n", vec!["é€😀"]),
        ("data: a\n\ndata: [DONE]\n", vec!["a", "[DONE]"]),
        ("data: a\n\ndata: [DONE]", vec!["a", "[DONE]"]),
        ("", vec![]),
        ("\n\n\r\n", vec![]),
    ] {
        let (events, forwarded) = split([stream.as_bytes()]);

        assert_eq!(events, expected, "{stream:?}");
        assert_eq!(forwarded, stream.as_bytes());
    }
}

#[test]
fn every_cut_of_a_stream_gives_the_same_events_and_bytes() {
    let stream =
        "\u{feff}data: é\r\n\r\n: c\r\rdata:b\ndata: c\n\n\r\ndata: [DONE]\r\n\r\n".as_bytes();
    let whole = split([stream]);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let parts = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(split(parts), whole, "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_frame_that_ends_with_an_event_is_forwarded_without_a_copy() {
    let frame = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut splitter = Splitter::default();

    let split = splitter.push(&frame, |_, _| Fate::Pass);

    assert_eq!(split.complete.as_ptr(), frame.as_ptr());
    assert_eq!(split.complete.len(), frame.len());
}

#[test]
fn an_incomplete_event_is_not_forwarded() {
    let mut splitter = Splitter::default();
    let mut observe = |_: Name, _: &[u8]| Fate::Pass;

    let split = splitter.push(
        &Bytes::from_static(b"data: a\n\ndata: {\"cho"),
        &mut observe,
    );

    assert_eq!(split.complete, "data: a\n\n");
    assert!(!splitter.torn());
}

#[test]
fn an_observer_that_breaks_ends_the_stream_with_that_event() {
    let mut splitter = Splitter::default();
    let frame = Bytes::from_static(b"data: a\n\ndata: stop\n\ndata: b\n\n");

    let split = splitter.push(&frame, |_, data| {
        if data == b"stop" {
            Fate::Stop
        } else {
            Fate::Pass
        }
    });

    let stopped_by = Some("data: stop\n\n".into());
    assert_eq!(
        split,
        Split {
            complete: "data: a\n\n".into(),
            stopped_by,
            ..Split::default()
        }
    );
}

#[test]
fn an_event_that_is_too_long_is_forwarded_and_observed_abridged() {
    let long = "x".repeat(MAX_EVENT * 2);
    for (event, expected) in [
        (format!("data: {long}\ndata: more"), ""),
        (
            format!("event: e\ndata: {{\"type\":\"e\",\"a\":\"{long}\",\"id\":1}}"),
            r#"{"type":"e","a":"-","id":1}"#,
        ),
        (
            format!("data: {{\"a\":\"{long}\",\ndata:\"type\":\"e\"}}\n: c"),
            "{\"a\":\"-\",\n\"type\":\"e\"}",
        ),
        (
            format!("\u{feff}data: {{\"a\":\"{long}\"}}"),
            r#"{"a":"-"}"#,
        ),
        (format!("data: {{\"a\":\"{long}\""), ""),
    ] {
        let stream = format!("{event}\n\ndata: next\n\n");
        for size in [1000, MAX_EVENT, MAX_EVENT + 1] {
            let (events, forwarded) = split(stream.as_bytes().chunks(size));

            let events: Vec<&str> = events.iter().map(|event| event.trim_start()).collect();
            let expected = vec![expected, "next"];
            assert_eq!(events, expected, "{size}");
            assert!(forwarded == stream.as_bytes());
        }
    }
}

#[test]
fn what_events_say_that_are_too_long_is_heard_as_it_comes() {
    let text = "x".repeat(MAX_EVENT * 2);
    let expected = |events: u64| events * (text.len() as u64 / 4);
    for (before, after, counts) in [
        (
            r#"{"choices":[{"index":0,"delta":{"content":""#,
            r#""}}]}"#,
            true,
        ),
        (
            r#"{"type":"response.output_text.delta","delta":""#,
            r#""}"#,
            true,
        ),
        (
            r#"{"type":"response.output_text.done","text":""#,
            r#""}"#,
            false,
        ),
        (
            r#"{"type":"response.output_audio.delta","delta":""#,
            r#""}"#,
            false,
        ),
        (
            r#"{"type":"response.done","response":{"output":[{"content":[{"text":""#,
            r#""}]}]}}"#,
            false,
        ),
    ] {
        let event = format!("data: {before}{text}{after}\n\n");
        let (first, rest) = event.split_at(before.len() + MAX_EVENT + "data: ".len());
        let mut splitter = Splitter::default();
        let mut heard = Vec::new();
        for piece in [&event, first, rest, "data: [DONE]\n\n"] {
            for piece in piece.as_bytes().chunks(10_000) {
                splitter.push(&Bytes::copy_from_slice(piece), |_, data| match data {
                    b"[DONE]" => Fate::Last,
                    _ => Fate::Pass,
                });
            }
            heard.push(splitter.heard().tokens());
        }

        let expected = if counts {
            [
                expected(1),
                expected(1) + MAX_EVENT as u64 / 4,
                expected(2),
                expected(2),
            ]
        } else {
            [0; 4]
        };
        assert_eq!(heard, expected, "{before}");
    }
}

#[test]
fn an_event_that_is_too_long_cannot_be_left_out() {
    let stream = format!("data: {{\"a\":\"{}\"}}\n\n", "x".repeat(MAX_EVENT));
    let mut splitter = Splitter::default();
    let mut forwarded = Vec::new();
    for frame in stream.as_bytes().chunks(MAX_EVENT + 10) {
        let frame = Bytes::copy_from_slice(frame);
        forwarded.extend(splitter.push(&frame, |_, _| Fate::Drop).complete);
    }

    assert!(forwarded == stream.as_bytes());
    assert!(!splitter.torn());
}

#[test]
fn what_is_held_is_bounded() {
    for (begin, torn) in [("data: ", true), ("x", false)] {
        let mut splitter = Splitter::default();
        splitter.push(&begin.into(), |_, _| Fate::Pass);
        for _ in 0..10_000 {
            splitter.push(&Bytes::from_static(&[b'x'; 1000]), |_, _| Fate::Pass);
            assert!(splitter.pending.len() <= MAX_EVENT);
        }
        assert_eq!(splitter.torn(), torn);
    }
}

#[test]
fn a_line_that_is_too_long_and_has_no_data_becomes_an_empty_comment() {
    let long = "x".repeat(MAX_EVENT * 2);
    for (stream, expected) in [
        (
            format!(": {long}\r\ndata: a\r\n\r\n"),
            ":\r\ndata: a\r\n\r\n",
        ),
        (format!("\u{feff}: {long}\rdata: a\r\r"), ":\rdata: a\r\r"),
        (format!("data: a\nid: {long}\n\n"), "data: a\n:\n\n"),
        (format!("event: e\nevent: {long}"), "event: e\n:"),
    ] {
        for size in [1, 1000, MAX_EVENT + 10] {
            let (events, forwarded) = split(stream.as_bytes().chunks(size));

            assert_eq!(String::from_utf8(forwarded).unwrap(), expected, "{size}");
            assert_eq!(events.len(), expected.matches("data").count(), "{size}");
        }
    }
}

#[test]
fn a_field_is_known_by_its_name_wherever_a_long_event_is_cut() {
    let first = "x".repeat(MAX_EVENT - 10);
    let stream = format!("data: {{\"a\":\"{first}\",\ndata: \"type\":\n: c\ndata: \"e\"}}\n\n");
    let expected = r#"{"a":"-","type":"e"}"#;
    for cut in MAX_EVENT + 1..stream.len() {
        let (first, second) = stream.as_bytes().split_at(cut);

        let (events, forwarded) = split([first, second]);

        assert_eq!(events.len(), 1, "cut at {cut}");
        // White space between values may be of a line or of its data.
        assert_eq!(events[0].replace([' ', '\n'], ""), expected, "cut at {cut}");
        assert!(forwarded == stream.as_bytes(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_cut_are_forwarded_unchanged(
        stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'd'), any::<u8>()], 0..200),
        size in 1..20_usize,
    ) {
        let whole = split([stream.as_slice()]);
        prop_assert_eq!(&whole.1, &stream);
        prop_assert_eq!(split(stream.chunks(size)), whole);
    }

    #[test]
    fn lines_of_data_in_any_cut_give_the_same_events(
        lines in proptest::collection::vec("(data: ?[a-z]{0,4}|:c|event: x|)(\n|\r|\r\n)", 0..30),
        size in 1..12_usize,
    ) {
        let stream = lines.concat();
        prop_assert_eq!(split(stream.as_bytes().chunks(size)), split([stream.as_bytes()]));
    }
}

#[test]
fn an_event_can_be_left_out_wherever_it_is_cut() {
    let stream = b"data: a\n\n: c\ndata: x\n\ndata: b\n\ndata: x\n\n";
    for cut in 0..=stream.len() {
        let mut splitter = Splitter::default();
        let mut forwarded = Vec::new();
        let mut observe = |_: Name, data: &[u8]| {
            if data == b"x" { Fate::Drop } else { Fate::Pass }
        };
        for frame in [&stream[..cut], &stream[cut..]] {
            let frame = Bytes::copy_from_slice(frame);
            forwarded.extend(splitter.push(&frame, &mut observe).complete);
        }
        forwarded.extend(splitter.finish(&mut observe).complete);

        assert_eq!(forwarded, b"data: a\n\ndata: b\n\n", "cut at {cut}");
    }
}

#[test]
fn after_a_stop_it_begins_anew() {
    let mut splitter = Splitter::default();
    let frame = Bytes::from_static(b"data: a\n\ndata: stop\n\ndata: lost\n\ndata: lo");
    let stop = |_: Name, data: &[u8]| {
        if data == b"stop" {
            Fate::Stop
        } else {
            Fate::Pass
        }
    };

    assert!(splitter.push(&frame, stop).stopped_by.is_some());

    let next = splitter.push(&Bytes::from_static(b"data: b\n\n"), stop);
    assert_eq!(next.complete, "data: b\n\n");
}

#[test]
fn nothing_is_forwarded_after_the_last_event() {
    let stream = b"data: a\n\ndata: last\n\ndata: b\n\n: c\n\ndata: d";
    for cut in 0..=stream.len() {
        let (mut splitter, mut forwarded) = (Splitter::default(), Vec::new());
        let (first, second) = stream.split_at(cut);
        for frame in [first, second] {
            let frame = Bytes::copy_from_slice(frame);
            let split = splitter.push(&frame, |_, data| match data {
                b"last" => Fate::Last,
                _ => Fate::Pass,
            });
            forwarded.extend(split.complete);
        }
        forwarded.extend(splitter.finish(|_, _| Fate::Pass).complete);

        assert_eq!(forwarded, b"data: a\n\ndata: last\n\n", "cut at {cut}");
        assert!(splitter.is_over());
    }
}

#[test]
fn errors_and_lines_without_data_are_to_be_cleaned() {
    let stream = b"event: e\ndata: a\n\ndata: drop\n\nid: 1\nevent: e\ndata: error\n\n: c\r\rdata: b\nretry:\n";
    let expected = [
        "event: e",
        "id: 1\nevent: e\ndata: error\n\n",
        ": c",
        "retry:",
    ];
    for cut in 0..=stream.len() {
        let mut splitter = Splitter::default();
        let mut unclean = Vec::new();
        let mut observe = |_: Name, data: &[u8]| match data {
            b"error" => Fate::Clean,
            b"drop" => Fate::Drop,
            _ => Fate::Pass,
        };
        let mut take = |split: Split| {
            let parts = split.unclean.into_iter();
            unclean.extend(parts.map(|range| split.complete.slice(range)));
        };
        for frame in [&stream[..cut], &stream[cut..]] {
            take(splitter.push(&Bytes::copy_from_slice(frame), &mut observe));
        }
        take(splitter.finish(&mut observe));

        assert_eq!(unclean, expected, "cut at {cut}");
    }
}

#[test]
fn lines_without_data_of_an_event_that_is_too_long_are_to_be_cleaned() {
    let head = format!("data: a\n\n: one\n: two\ndata: {}", "x".repeat(MAX_EVENT));
    let mut splitter = Splitter::default();
    let mut unclean = Vec::new();
    for frame in [head.as_bytes(), b"\n: three\n\n"] {
        let split = splitter.push(&Bytes::copy_from_slice(frame), |_, _| Fate::Pass);
        let parts = split.unclean.into_iter();
        unclean.extend(parts.map(|range| split.complete.slice(range)));
    }

    assert_eq!(unclean, [": one\n: two", ": three"]);
}

#[test]
fn many_lines_without_data_are_one_part() {
    let stream = Bytes::from(":\n".repeat(10_000) + "data: a\r\n:\r\n:\r\n\r\n");

    let split = Splitter::default().push(&stream, |_, _| Fate::Pass);

    assert_eq!(split.complete.len(), stream.len());
    assert_eq!(split.unclean.len(), 2);
}

#[test]
fn an_event_that_is_called_an_error_is_to_be_cleaned() {
    for (stream, expected) in [
        (
            "event: error\ndata: a\n\ndata: b\n\n",
            &["event: error\ndata: a\n\n"][..],
        ),
        (
            "data: a\r\nevent:error\r\n\r\n",
            &["data: a\r\nevent:error\r\n\r\n"],
        ),
        ("event: error\ndata: a", &["event: error\ndata: a"]),
        ("event: error\n\ndata: b\n\n", &["event: error"]),
        ("event: errors\ndata: a\n\n", &["event: errors"]),
    ] {
        let mut splitter = Splitter::default();
        let mut unclean = Vec::new();
        let observe = |name, _: &[u8]| match name {
            Name::Error => Fate::Clean,
            Name::Other | Name::Garbage => Fate::Pass,
        };
        let pushed = splitter.push(&Bytes::from_static(stream.as_bytes()), observe);
        for split in [pushed, splitter.finish(observe)] {
            let parts = split.unclean.into_iter();
            unclean.extend(parts.map(|range| split.complete.slice(range)));
        }

        assert_eq!(unclean, expected, "{stream}");
    }
}

#[test]
fn lines_that_are_neither_a_field_nor_a_comment_are_garbage() {
    for (line, is_garbage) in [
        (&b": c"[..], false),
        (b"x-unknown_1: y", false),
        (b"ping", false),
        (b"id: <html>", false),
        (b"<html>", true),
        (b"{\"error\":{}}", true),
        (b"\0\xff", true),
        (b"id: \xff", true),
        (b"two words: x", true),
    ] {
        for (before, after) in [("", ""), ("data: a\n", ""), ("", "\nevent: error\ndata: a")] {
            let stream = [before.as_bytes(), line, after.as_bytes()].concat();
            for closed in [&b""[..], b"\n\n"] {
                let frame = Bytes::from([&stream, closed].concat());
                let (mut splitter, mut garbage) = (Splitter::default(), false);
                let mut observe = |name, _: &[u8]| {
                    garbage |= name == Name::Garbage;
                    Fate::Pass
                };
                splitter.push(&frame, &mut observe);
                splitter.finish(&mut observe);

                assert_eq!(garbage, is_garbage, "{frame:?}");
            }
        }
    }
}

#[test]
fn a_line_that_is_too_long_and_no_field_is_garbage() {
    for (begin, is_garbage) in [("<html>", true), ("id: ", false)] {
        let stream = format!("{begin}{}\n\n", "x".repeat(MAX_EVENT * 2));
        let (mut splitter, mut garbage) = (Splitter::default(), false);
        for frame in stream.as_bytes().chunks(1000) {
            splitter.push(&Bytes::copy_from_slice(frame), |name, _| {
                garbage |= name == Name::Garbage;
                Fate::Pass
            });
        }

        assert_eq!(garbage, is_garbage, "{begin}");
    }
}

#[test]
fn a_stop_says_whether_its_event_was_begun() {
    let long = format!("data: {}", "x".repeat(MAX_EVENT));
    for (rest, torn) in [("\n\n", true), ("\n\ndata: stop\n\n", false)] {
        let mut splitter = Splitter::default();
        splitter.push(&Bytes::from(long.clone()), |_, _| Fate::Pass);
        let split = splitter.push(&rest.into(), |_, data| {
            if torn || data == b"stop" {
                Fate::Stop
            } else {
                Fate::Pass
            }
        });

        assert!(split.stopped_by.is_some());
        assert_eq!(split.torn, torn);
    }
}
