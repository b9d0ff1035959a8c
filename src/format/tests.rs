//! Tests of all formats together: samples, both levels, independence of earlier lines, hostile bytes.

use super::*;
use crate::model::{Names, StatedTime};
use crate::scan::Scan;
use proptest::prelude::*;

fn parse(line: &[u8]) -> Record {
    Guess::new(None).parse(line)
}

/// Asserts what must hold for every record of every line.
fn assert_sound(line: &[u8], record: &Record) {
    let inside = |span: Span| span.start <= span.end && span.end as usize <= line.len();
    let shown = &line[..line.len().min(80)];
    let spans = [record.host, record.program, Some(record.message)];
    assert!(spans.into_iter().flatten().all(inside), "{}", shown.escape_ascii());
    assert!(!record.host.is_some_and(Span::is_empty) && !record.program.is_some_and(Span::is_empty));
    match record.tag {
        TagPoint::StructuredData { elements } => {
            assert_eq!(record.format, Format::Rfc5424);
            let elements = elements.of(line);
            assert!(elements == b"-" || elements.starts_with(b"[") && elements.ends_with(b"]"));
        }
        TagPoint::JsonObject { close, empty } => {
            assert_eq!(record.format, Format::Json);
            assert_eq!(line[close as usize], b'}');
            assert!(line[close as usize + 1..].iter().all(u8::is_ascii_whitespace));
            assert!(!empty || line[..close as usize].trim_ascii().ends_with(b"{"));
        }
        TagPoint::LineEnd => {}
    }
    let syslog = matches!(record.format, Format::Rfc5424 | Format::Rfc3164);
    assert!(syslog || record.inner.is_none() && record.message == Span::new(0, line.len()));
    if let Some(StatedTime::Civil { month, day, hour, minute, second, .. }) = record.time {
        assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        assert!(hour <= 23 && minute <= 59 && second <= 60);
    }
}

#[test]
fn every_sample_has_its_format() {
    for (format, line) in samples() {
        let record = parse(line.as_bytes());
        assert_eq!(record.format, format, "{line}");
        assert_sound(line.as_bytes(), &record);
    }
    for format in Format::ALL {
        assert!(samples().filter(|&(found, _)| found == format).count() >= 3, "{format:?}");
    }
}

#[test]
fn a_forced_format_takes_its_own_lines_only() {
    for forced in Format::ALL {
        for (format, line) in samples() {
            let record = Guess::new(Some(forced)).parse(line.as_bytes());
            // A combined line is a common one with more fields.
            let fits = format == forced || (format, forced) == (Format::Combined, Format::Clf);
            // PRI makes any line an RFC 3164 one; a netfilter line may have any prefix.
            let has_pri = forced == Format::Rfc3164 && line.starts_with('<');
            let has_prefix = forced == Format::Netfilter && line.contains("IN=");
            // Without a prefix, it consists of pairs too.
            let is_pairs = (format, forced) == (Format::Netfilter, Format::Logfmt) && line.starts_with("IN=");
            // Whatever precedes ` - - [` may be text that a client wrote.
            let is_client = matches!(forced, Format::Clf | Format::Combined)
                && format == Format::Rfc3164
                && line.contains(" - - [");
            if has_pri || has_prefix || is_pairs || is_client {
                assert_eq!(record.format, forced, "{line}");
            } else if fits {
                assert_eq!(record, Record { format: forced, ..parse(line.as_bytes()) }, "{line}");
            } else {
                assert_eq!(record.format, Format::Raw, "{forced:?} took {line}");
                assert_eq!(record, raw::read(line.as_bytes()), "{line}");
            }
        }
    }
}

#[test]
fn both_levels_of_a_syslog_line() {
    let inner =
        samples().filter(|(format, _)| !matches!(format, Format::Rfc5424 | Format::Rfc3164 | Format::Raw));
    for (format, message) in inner {
        for header in [
            "<34>1 2026-11-23T10:00:00Z web1 app 7 - - ",
            "<34>1 - web1 app 7 - [a@1 x=\"1\"]  ",
            "<34>Nov 23 10:00:00 web1 app[7]: ",
            "Nov 23 10:00:00 web1 app: ",
            "2026-11-23T10:00:00Z web1 app[7]: ",
        ] {
            let line = format!("{header}{message}");
            let record = parse(line.as_bytes());
            assert_sound(line.as_bytes(), &record);
            assert_eq!(record.inner, Some(format), "{line}");
            assert!(record.is(format));
            match record.format {
                Format::Rfc5424 => assert!(matches!(record.tag, TagPoint::StructuredData { .. }), "{line}"),
                _ => assert_eq!((record.format, record.tag), (Format::Rfc3164, TagPoint::LineEnd), "{line}"),
            }
        }
    }
}

#[test]
fn the_outer_time_wins_unless_it_is_missing() {
    let message = r#"{"time":"2020-01-01T00:00:00Z"}"#;
    let inner = timestamp::stated(b"2020-01-01T00:00:00Z");
    let cases = [
        ("<34>1 - web1 app - - - ", inner),
        ("<34>app: ", inner),
        ("<34>1 2026-11-23T10:00:00Z web1 app - - - ", timestamp::stated(b"2026-11-23T10:00:00Z")),
        // Neither year nor zone, but still written by the machine.
        ("Nov 23 10:00:00 web1 app: ", timestamp::stated(b"Nov 23 10:00:00")),
    ];
    for (header, expected) in cases {
        assert_eq!(parse(format!("{header}{message}").as_bytes()).time, expected, "{header}");
    }
}

#[test]
fn a_time_that_follows_pri_directly_counts_in_any_spelling() {
    let local = timestamp::stated(b"2026-11-23 10:00:00");
    for message in [
        "2026-11-23 10:00:00 text",
        "2026:11:23-10:00:00 utm ulogd[7]: id=\"2001\" srcip=\"203.0.113.9\"",
        "1,2026/11/23 10:00:00,001801000001,TRAFFIC,end,2305",
        ": 2026 Nov 23 10:00:00: %ETHPORT-5-IF_UP: text",
        "1 2026-11-23 10:00:00 gw CheckPoint 13752 - [action:\"Update\"; flags:\"150784\"]",
    ] {
        let record = parse(format!("<189>{message}").as_bytes());
        assert_eq!((record.format, record.time), (Format::Rfc3164, local), "{message}");
        // After a TAG, a client may have written it, and a time before it counts.
        assert_eq!(parse(format!("<189>app: {message}").as_bytes()).time, None, "{message}");
        let relayed = parse(format!("<189>Nov 24 10:00:00 web1 {message}").as_bytes());
        assert_eq!(relayed.time, timestamp::stated(b"Nov 24 10:00:00"), "{message}");
    }
}

#[test]
fn an_access_log_is_not_dated_by_what_a_client_writes_first() {
    for forged in [
        "000123: *Nov 20 10:00:00.123: %SEC-6-IPACCESSLOGP: x",
        "1,2020/11/20 10:00:00,001801000001,TRAFFIC,x",
        "261120 10:00:00 [Note] x",
        "2020:11:20-10:00:00: x",
        "http 2020-11-20T10:00:00Z app/x",
        "203.0.113.9 - x [01/01/2020:00:00:00 -0000] \\\"",
        "INFO 2020-11-20 10:00:00,123 x",
        "203.0.113.9 [20/Nov/2020:10:00:00 +0100] TCP 200 5",
        "tls 2.0 2020-11-20T10:00:00 net/x",
        "20/11/2020 10:00:00 : epoch x",
        "E [20/Nov/2020:10:00:00 +0100] x",
    ] {
        let line = format!("{forged} - - [23/Nov/2026:10:00:00 +0100] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"");
        let record = parse(line.as_bytes());
        assert_eq!(record.time, timestamp::stated(b"2026-11-23 10:00:00 +0100"), "{line}");
    }
}

#[test]
fn events_of_kubernetes_have_the_time_of_their_stage() {
    let line = r#"{"kind":"Event","level":"Request","stage":"ResponseComplete","sourceIPs":["203.0.113.9"],
        "requestObject":{"stageTimestamp":"2020-01-01T00:00:00Z"},
        "requestReceivedTimestamp":"2026-11-23T09:00:00.123456Z","stageTimestamp":"2026-11-23T10:00:00.123456Z"}"#;
    assert_eq!(parse(line.as_bytes()).time, timestamp::stated(b"2026-11-23T10:00:00Z"));
    let received = line.replace(r#","stageTimestamp":"2026-11-23T10:00:00.123456Z"}"#, "}");
    assert_eq!(parse(received.as_bytes()).time, timestamp::stated(b"2026-11-23T09:00:00Z"));
    let asctime = br#"{"asctime":"2026-11-23 10:00:00,123","levelname":"INFO"}"#;
    assert_eq!(parse(asctime).time, timestamp::stated(b"2026-11-23 10:00:00"));
    for line in [r#"{"timeMillis":1795428000123,"level":"INFO"}"#, r#"{"event_time":1795428000}"#] {
        assert_eq!(parse(line.as_bytes()).time, Some(StatedTime::Unix(1_795_428_000)), "{line}");
    }
    // The time of another thing.
    assert_eq!(parse(br#"{"start_time":"2026-11-23T10:00:00Z","a":1}"#).time, None);
}

#[test]
fn objects_under_rarer_names_state_the_time_of_the_event() {
    let mut scan = Scan::default();
    let mut read = |line: &str| {
        let block = format!("{line}\n");
        let record = scan.lines(block.as_bytes()).map(|line| Guess::new(None).read(&line)).next().unwrap();
        assert_eq!(record.time, parse(line.as_bytes()).time, "{line}");
        assert_eq!(record.format, Format::Json, "{line}");
        record.time
    };
    let utc = timestamp::stated(b"2026-11-23T10:00:00Z");
    let local = timestamp::stated(b"2026-11-23 10:00:00");
    let paris = timestamp::stated(b"2026-11-23 10:00:00 +0100");
    let unix = Some(StatedTime::Unix(1_795_428_000));
    for (line, expected) in [
        (r#"{"start_time":"2026-11-23T10:00:00.310Z","response_flags":"-","method":"GET"}"#, utc),
        (r#"{"upstream_host":"192.0.2.1:80","start_time":"2026-11-23T10:00:00.310Z"}"#, utc),
        (r#"{"start_time":"2026-11-20T10:00:00Z","response_flags":"-","time":"2026-11-23 10:00:00"}"#, local),
        (r#"{"date":"2026-11-23","time":"10:00:00","x-edge-location":"CDG50-C1"}"#, utc),
        (r#"{"date":"2026-11-23","time":"10:00:00","c-ip":"203.0.113.9"}"#, local),
        (r#"{"msec":"1795428000.123","remote_addr":"203.0.113.9"}"#, unix),
        (r#"{"msec":1795428000.123,"remote_addr":"203.0.113.9"}"#, unix),
        (r#"{"EdgeStartTimestamp":1795428000123456789,"ClientIP":"203.0.113.9"}"#, unix),
        (r#"{"ClientIP":"203.0.113.9","EdgeEndTimestamp":"2026-11-23T10:00:00Z"}"#, utc),
        (r#"{"TimeGenerated":"2026-11-23T10:00:00Z","IPAddress":"203.0.113.9"}"#, utc),
        (r#"{"TimeCreated":"2026-11-23T10:00:00Z","EventID":4625}"#, utc),
        (r#"{"eventTimestamp":"2026-11-23T10:00:00Z","callerIpAddress":"203.0.113.9"}"#, utc),
        (r#"{"query_timestamp":"2026-11-23T10:00:00Z","srcaddr":"203.0.113.9"}"#, utc),
        (r#"{"timeUnixNano":"1795428000123456789","body":{"stringValue":"x"}}"#, unix),
        (r#"{"transaction":{"client_ip":"203.0.113.9","time_stamp":"Mon Nov 23 10:00:00 2026"}}"#, local),
        (r#"{"transaction":{"time":"23/Nov/2026:10:00:00.123456 +0000","transaction_id":"x"}}"#, utc),
        (r#"{"audit_record":{"record":"1_2026-11-20T10:00:00","timestamp":"2026-11-23T10:00:00Z"}}"#, utc),
        (r#"{"instant":{"epochSecond":1795428000,"nanoOfSecond":1},"message":"x"}"#, unix),
        (r#"{"timestamp":{"seconds":1795428000,"nanos":1},"message":"x"}"#, unix),
        (r#"{"timestamp":"2026-11-23T10:00:00.123Z[Etc/UTC]","message":"x"}"#, utc),
        (r#"{"time":"23-11-2026 10:00:00","level":"info"}"#, local),
        // Any usual name counts first.
        (r#"{"msec":1,"transaction":{"time":"2020-01-01T00:00:00Z"},"time":"2026-11-23T10:00:00Z"}"#, utc),
        // One and a half seconds in nanoseconds, wherever the time stands; alone, it is a time.
        (r#"{"time":1500000000,"ts":"2026-11-23T10:00:00Z"}"#, utc),
        (r#"{"ts":1795428000.123,"time":1500000000}"#, unix),
        (r#"{"_time":"2026-11-23T10:00:00Z","Time":"1500000000"}"#, utc),
        (r#"{"t":1500000000,"time":2500000000,"eventTime":"2026-11-23T10:00:00Z"}"#, utc),
        (r#"{"time":1795428000,"level":"info"}"#, unix),
        (r#"{"date":"2026-11-23","time":"10:00:00","tz":"+0100"}"#, paris),
        (r#"{"date":"2026-11-23","time":"10:00:00 +0100"}"#, paris),
        // A duration, a name, another thing, half a time, a month that may be the day.
        (r#"{"msec":12,"logtime":0,"unixtime":0,"_time":1}"#, None),
        (r#"{"transaction":"x","instant":{"time":{"time":1795428000}}}"#, None),
        (r#"{"start_time":"2026-11-23T10:00:00Z","end_time":"2026-11-23T10:00:00Z"}"#, None),
        (r#"{"date":"2026-11-23","hour":"10:00:00"}"#, None),
        (r#"{"date":"2026-11-23","time":12}"#, None),
        (r#"{"time":"05-11-2026 10:00:00","level":"info"}"#, None),
    ] {
        assert_eq!(read(line), expected, "{line}");
    }
}

#[test]
fn access_logs_spell_their_times_in_many_ways() {
    for (time, expected) in [
        ("23/Nov/2026 10:00:00", "2026-11-23 10:00:00"),
        ("2026-11-23 10:00:00", "2026-11-23 10:00:00"),
        ("2026-11-23 10:00:00 +0100", "2026-11-23 10:00:00 +0100"),
        ("Mon, 23 Nov 2026 10:00:00 GMT", "2026-11-23T10:00:00Z"),
        ("23/Nov/2026 10:00:00 UTC", "2026-11-23T10:00:00Z"),
        ("2026-11-23 10:00:00 PM", "2026-11-23 22:00:00"),
    ] {
        let line = format!("203.0.113.9 - - [{time}] \"GET / HTTP/1.1\" 200 -");
        let record = parse(line.as_bytes());
        let expected = timestamp::stated(expected.as_bytes());
        assert_eq!((record.format, record.time), (Format::Clf, expected), "{line}");
        // A client may have written what comes first.
        let forged = format!("x - - [01/Jan/2020:00:00:00 +0000] {line}");
        assert_eq!(parse(forged.as_bytes()).time, expected, "{forged}");
    }
}

#[test]
fn fields_of_both_levels() {
    let cases = [
        (r#"{"user":{"name":"jean"}}"#, "user.name"),
        (r#"<34>1 - web1 app - - [user@1 name="jean"] text"#, "user@1.name"),
        (r#"<34>1 - web1 app - - [user@1 name="jean"] text"#, "name"),
        (r#"<34>1 - web1 app - - [other@1 x="y"] {"name":"jean"}"#, "name"),
        (r#"Nov 23 10:00:00 web1 app: {"user.name":"jean"}"#, "user.name"),
        (r#"Nov 23 10:00:00 web1 app: @cee: {"name":"jean"}"#, "name"),
        ("Nov 23 10:00:00 web1 app: level=info name=jean", "name"),
        ("level=info name=\"jean\"", "name"),
        ("<34>Nov 23 10:00:00 web1 CEF:0|a|b|c|d|e|5|duser=jean", "duser"),
        ("CEF:0|a|b|c|jean|e|5|", "deviceEventClassId"),
        ("LEEF:1.0|a|b|c|d|usrName=jean", "usrName"),
        // The outer level is searched first.
        (r#"<34>1 - web1 app - - [u@1 name="jean"] {"name":"luc"}"#, "name"),
    ];
    for (line, name) in cases {
        let record = parse(line.as_bytes());
        assert_eq!(field(line.as_bytes(), &record, name).as_deref(), Some(&b"jean"[..]), "{line}");
        assert_eq!(field(line.as_bytes(), &record, "nobody"), None, "{line}");
    }
    for line in ["name=jean", "203.0.113.9 - - name=jean", "Nov 23 10:00:00 web1 app: name=jean said hello"] {
        assert_eq!(field(line.as_bytes(), &parse(line.as_bytes()), "name"), None, "{line}");
    }
}

#[test]
fn forged_members_are_found() {
    let cases: &[(&str, &[&str])] = &[
        (r#"{"retention":1}"#, &["retention"]),
        (r#"{"a":1,"\u0072etention":{},"retention":2}"#, &[r"\u0072etention", "retention"]),
        (r#"{"r\u0065tention":1}"#, &[r"r\u0065tention"]),
        // Not a name, not at the top level, not the same name.
        (r#"{"a":"retention"}"#, &[]),
        (r#"{"a":{"retention":1}}"#, &[]),
        (r#"{"retentions":1,"Retention":2,"\\u0072etention":3}"#, &[]),
        (r#"{"a":1}"#, &[]),
        ("{}", &[]),
        // Not a JSON line, so there is nothing to forge.
        (r#"<34>1 - - - - - - {"retention":1}"#, &[]),
        (r#"retention {"retention":1}"#, &[]),
    ];
    for &(line, expected) in cases {
        let record = parse(line.as_bytes());
        let found: Vec<_> = top_level_key_spans(line.as_bytes(), &record, "retention")
            .map(|span| &line[span.start as usize..span.end as usize])
            .collect();
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn pri_192_and_999_are_no_pri() {
    for pri in ["<192>", "<999>", "<0000>", "<>", "<-1>", "<1a>"] {
        let line = format!("{pri}1 2026-11-23T10:00:00Z web1 app - - - text");
        assert_eq!(parse(line.as_bytes()), Record::raw(line.as_bytes()), "{line}");
    }
}

#[test]
fn octet_counts_are_no_part_of_a_line() {
    for count in ["25 ", "0 ", "99999999999999999999 ", "-1 "] {
        let line = format!("{count}<34>1 - web1 app - - - text");
        assert_eq!(parse(line.as_bytes()).format, Format::Raw, "{line}");
    }
}

#[test]
fn nul_and_invalid_utf_8_pass_through() {
    for (format, line) in samples() {
        for bytes in [&b"\0"[..], b"\xff\xfe", b"\xc3", b"\x80\x80"] {
            let line = [line.as_bytes(), b" ", bytes].concat();
            let record = parse(&line);
            assert_sound(&line, &record);
            // Trailing bytes make JSON and bare STRUCTURED-DATA something else; all other formats accept any
            // bytes there.
            if !matches!(format, Format::Json | Format::Rfc5424) {
                assert_eq!(record.format, format, "{}", line.escape_ascii());
            }
        }
    }
    let record = parse(b"<34>1 - web\xff app\0 - - - \xff\0");
    assert_eq!((record.format, record.message), (Format::Rfc5424, Span::new(24, 26)));
}

#[test]
fn names_of_members_may_contain_dots() {
    let mut scan = Scan::default();
    for member in [r#""a.b":{"c":"x"}"#, r#""a.b.c":"x""#, r#""a":{"b.c":"x"}"#, r#""a":{"b":{"c":"x"}}"#] {
        let block = format!("{{\"time\":\"2026-11-23T10:00:00Z\",{member}}}\n");
        for line in scan.lines(block.as_bytes()) {
            for record in [Guess::new(None).read(&line), parse(line.bytes)] {
                assert_eq!(field(line.bytes, &record, "a.b.c").as_deref(), Some(&b"x"[..]), "{member}");
            }
        }
    }
}

#[test]
fn json_a_million_deep() {
    const DEPTH: usize = 1_000_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let line =
            [r#"{"time":1795428000,"a":"#, &open.repeat(DEPTH), "1", &close.repeat(DEPTH), "}"].concat();
        let record = parse(line.as_bytes());
        assert_eq!((record.format, record.time), (Format::Json, Some(StatedTime::Unix(1_795_428_000))));
        assert_eq!(field(line.as_bytes(), &record, "a.a.a.b"), None);
        assert_eq!(parse(&line.as_bytes()[..line.len() - 1]).format, Format::Raw);
    }
}

/// Tests lines of 4 MiB made of what each parser looks for. A quadratic parser would not finish.
#[test]
fn lines_of_4_mib_take_linear_time() {
    const LENGTH: usize = 4 << 20;
    let heads = [
        "",
        "{",
        "{\"a\":",
        "{\"a\":\"",
        "<34>1 - web1 app - - ",
        "<34>1 - web1 app - - [a ",
        "<34>Nov 23 10:00:00 web1 app: ",
        "CEF:0|a|b|c|d|e|5|",
        "CEF:0|",
        "LEEF:2.0|a|b|c|d|^|",
        "a=1 ",
        "203.0.113.9 - x [23/Nov/2026:10:00:00 +0100] \"",
        "203.0.113.9:1 [23/Nov/2026:10:00:00] ",
        "IN=eth0 OUT=",
        "[",
    ];
    let bodies = [
        "\"",
        "\\",
        "\\\"",
        "{",
        "\"a\":1,",
        "[a x=\"1\"]",
        "x=\"",
        "a=",
        "a=b ",
        "=",
        " ",
        "|",
        "[",
        "] \"",
        "1:",
        "a",
        "\\u0061",
    ];
    for head in heads {
        for body in bodies {
            // Test each pair at 64 KiB; at the full length only with an empty head or one of two bodies.
            let length = if head.is_empty() || body == "\\\"" || body == "a=" { LENGTH } else { LENGTH >> 6 };
            let line = [head.as_bytes(), &body.as_bytes().repeat(length / body.len())].concat();
            let record = parse(&line);
            assert_sound(&line, &record);
            assert_eq!(field(&line, &record, "no.such.field"), None);
            assert_eq!(top_level_key_spans(&line, &record, "retention").count(), 0);
        }
    }
}

fn hostile_line() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<_> = samples().map(|(_, line)| line.as_bytes().to_vec()).collect();
    let sample = proptest::sample::select(lines);
    prop_oneof![
        // A sample cut short, or the head of one sample with the tail of another.
        (sample.clone(), any::<prop::sample::Index>())
            .prop_map(|(line, at)| line[..at.index(line.len() + 1)].to_vec()),
        (sample.clone(), sample.clone(), any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(head, tail, end, start)| {
                [&head[..end.index(head.len() + 1)], &tail[start.index(tail.len() + 1)..]].concat()
            }),
        // A sample with changed bytes.
        (sample, proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)).prop_map(
            |(mut line, changes)| {
                for (at, byte) in changes.into_iter().filter(|_| !line.is_empty()).collect::<Vec<_>>() {
                    let at = at.index(line.len());
                    line[at] = byte;
                }
                line
            }
        ),
        // Arbitrary bytes, and those that parsers look for.
        proptest::collection::vec(any::<u8>(), 0..80),
        proptest::collection::vec(
            proptest::sample::select(b"<>[]{}\"\\=|:, -/.01239aZ\tIN\0\xff".to_vec()),
            0..60
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The result depends on the line alone: after any other lines it equals that of a fresh guesser.
    #[test]
    fn earlier_lines_do_not_matter(lines in proptest::collection::vec(hostile_line(), 1..8)) {
        let mut guess = Guess::new(None);
        for line in &lines {
            prop_assert_eq!(guess.parse(line), parse(line));
        }
        for (_, earlier) in samples() {
            let mut guess = Guess::new(None);
            guess.parse(earlier.as_bytes());
            prop_assert_eq!(guess.parse(&lines[0]), parse(&lines[0]));
        }
    }

    /// The fast paths agree with the general parsers, wherever in a block the line stands.
    #[test]
    fn plain_lines_are_read_as_all_others(lines in proptest::collection::vec(hostile_line(), 1..8)) {
        let one_line = |line: Vec<u8>| line.into_iter().filter(|byte| *byte != b'\n').collect::<Vec<_>>();
        let mut block = lines.into_iter().map(one_line).collect::<Vec<_>>().join(&b'\n');
        block.extend_from_slice(b"\n.............................................................................");
        let mut scan = Scan::default();
        for line in scan.lines(&block) {
            let (read, parsed) = (Guess::new(None).read(&line), parse(line.bytes));
            prop_assert_eq!(Record { names: Names::ANY, ..read }, parsed, "{}", line.bytes.escape_ascii());
            for name in ["time", "a.b", "a.b.c", "x", "remote_ip", "", "request.remote_ip"] {
                prop_assert_eq!(field(line.bytes, &read, name), field(line.bytes, &parsed, name));
            }
        }
    }

    /// No line makes a parser panic, forced or not, and every record is sound.
    #[test]
    fn every_record_is_sound(line in hostile_line()) {
        for forced in Format::ALL.into_iter().map(Some).chain([None]) {
            let record = Guess::new(forced).parse(&line);
            assert_sound(&line, &record);
            for name in ["time", "a.b", "x", "src", "", "retention"] {
                let value = field(&line, &record, name);
                prop_assert!(value.is_none_or(|value| value.len() <= line.len()));
            }
            for span in top_level_key_spans(&line, &record, "time") {
                prop_assert!(span.of(&line).len() >= 4);
            }
            let _ = timestamp::stated(&line);
        }
    }
}
