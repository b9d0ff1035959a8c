//! Names of JSON members that state the time of the event.

/// These names, in order of preference. ASCII case does not matter.
///
/// Names of times that may be another's, such as `start_time` or `created_at`, are not among them.
pub(super) const TIME_NAMES: [&[u8]; 37] = [
    b"@timestamp",
    b"timestamp",
    b"time",
    b"ts",
    b"date",
    b"datetime",
    b"eventTime",
    b"@t",
    b"t",
    b"time_iso8601",
    b"time_local",
    b"StartUTC",
    // journald, in microseconds.
    b"_SOURCE_REALTIME_TIMESTAMP",
    b"__REALTIME_TIMESTAMP",
    b"event_time",
    // Python's logging, and Log4j.
    b"asctime",
    b"timeMillis",
    // Kubernetes writes an audit event at each stage of a request.
    b"stageTimestamp",
    b"requestReceivedTimestamp",
    // nginx.
    b"msec",
    // Azure and Windows events.
    b"eventTimestamp",
    b"TimeGenerated",
    b"TimeCreated",
    // Cloudflare.
    b"EdgeStartTimestamp",
    b"EdgeEndTimestamp",
    // Route 53 Resolver.
    b"query_timestamp",
    // OpenTelemetry.
    b"timeUnixNano",
    b"observedTimeUnixNano",
    b"event_timestamp",
    b"log_time",
    b"logtime",
    b"_time",
    b"unixtime",
    b"unix_timestamp",
    // Objects that have the time: of ModSecurity, Percona's audit log, Log4j.
    b"transaction",
    b"audit_record",
    b"instant",
];

/// How many of these names state a time whatever the value. Under the others a small number is not the time
/// of a clock that is not set.
pub(super) const CERTAIN_NAMES: usize = 19;

/// Names of the members of an object that is a time, or has it.
pub(super) const INNER_NAMES: [&[u8]; 6] =
    [b"$date", b"epochSecond", b"seconds", b"timestamp", b"time_stamp", b"time"];

/// Returns the place of `name` among the first `below` names.
pub(super) fn time_rank(name: &[u8], below: usize) -> Option<usize> {
    // The first letter and the length together rule out nearly all other names.
    let lengths = LENGTHS[letter(*name.first()?)];
    if lengths.unbounded_shr(u32::try_from(name.len()).unwrap_or(u32::MAX)) & 1 == 0 {
        return None;
    }
    TIME_NAMES[..below].iter().position(|known| known.len() == name.len() && name.eq_ignore_ascii_case(known))
}

/// Returns whether a time may be a duration: ten digits under `time` or `t`, which are one to four seconds in
/// nanoseconds. Such a time counts only if no other name states one.
#[inline]
pub(super) fn may_last(name: &[u8], value: &[u8]) -> bool {
    value.len() <= r#""1500000000""#.len() && is_short_number(name, value)
}

fn is_short_number(name: &[u8], value: &[u8]) -> bool {
    let text = value.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(value);
    let known = [&b"time"[..], b"t"].iter().any(|known| name.eq_ignore_ascii_case(known));
    known && text.len() == 10 && text.iter().all(u8::is_ascii_digit)
}

/// For each first letter, bit `n` is set if one of [`TIME_NAMES`] begins with it and has `n` bytes.
const LENGTHS: [u32; 32] = {
    let (mut lengths, mut index) = ([0; 32], 0);
    while index < TIME_NAMES.len() {
        lengths[letter(TIME_NAMES[index][0])] |= 1 << TIME_NAMES[index].len();
        index += 1;
    }
    lengths
};

/// Returns the place of a letter in the alphabet, whatever its case; other bytes share these places.
const fn letter(byte: u8) -> usize {
    (byte & 31) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_others_are_not() {
        for (rank, name) in TIME_NAMES.iter().enumerate() {
            for name in [name.to_vec(), name.to_ascii_uppercase(), name.to_ascii_lowercase()] {
                assert_eq!(time_rank(&name, TIME_NAMES.len()), Some(rank), "{}", name.escape_ascii());
                assert_eq!(time_rank(&name, rank), None);
                for at in 0..name.len() {
                    let mut other = name.clone();
                    other[at] = b'!';
                    assert_eq!(time_rank(&other, TIME_NAMES.len()), None, "{}", other.escape_ascii());
                }
            }
        }
        for name in
            ["", "start_time", "created_at", "expires", "times", "\u{0}", "timestamp_of_another_thing"]
        {
            assert_eq!(time_rank(name.as_bytes(), TIME_NAMES.len()), None, "{name}");
        }
        assert_eq!(time_rank(&[b't'; 100], TIME_NAMES.len()), None);
    }
}
