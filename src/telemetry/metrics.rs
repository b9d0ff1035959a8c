//! Renders a snapshot in the text format of Prometheus, version 0.0.4.

use super::snapshot::{Counts, Snapshot};
use std::fmt::{Display, Write as _};

/// The `Content-Type` of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders `snapshot` as metrics.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut text = Exposition::default();
    let (lines, lag) = (&snapshot.lines, &snapshot.lag);
    text.gauge("build_info", "The version that runs.").labelled(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge("uptime_seconds", "Time since the start of the process.").plain(snapshot.uptime.as_secs_f64());
    text.gauge("state", "The state of the service; running is the one in which lines are taken.")
        .labelled(&[("state", snapshot.state.name())], 1);

    inputs(&mut text, snapshot);
    text.counter("lines_in_total", "Lines given to workers.").plain(lines.lines_in);
    text.counter(
        "lines_out_total",
        "Lines that went out; while the service runs, to the archive and its outputs.",
    )
    .plain(lines.lines_out);
    text.counter("lines_quarantined_total", "Lines that were too long or cut off and were sealed.")
        .plain(lines.quarantined);
    text.counter("lines_dropped_total", "Lines dropped by rule, expired ones included.").plain(lines.dropped);
    text.counter("lines_expired_total", "Lines dropped because they had expired.").plain(lines.expired);
    text.counter("lines_undelivered_total", "Lines that an output which failed did not take.")
        .plain(lines.undelivered);
    text.counter("lines_repeated_total", "Lines that came again after they were archived before the start.")
        .plain(snapshot.repeated);
    text.gauge("lines_on_their_way", "Lines taken that no worker has finished.")
        .plain(snapshot.on_their_way());
    text.gauge("invariant_holds", "1 if lines in = lines out + quarantined + dropped + undelivered.")
        .plain(u8::from(snapshot.balanced()));
    text.counter("bytes_in_total", "Bytes given to workers.").plain(lines.bytes_in);
    text.counter("bytes_out_total", "Bytes that workers gave out.").plain(lines.bytes_out);

    let by = |text: &mut Exposition, name, help, label: &str, counts: &Counts| {
        let mut metric = text.counter(name, help);
        counts.iter().for_each(|(value, count)| metric.labelled(&[(label, value)], count));
    };
    by(&mut text, "findings_total", "Identifiers replaced, by kind.", "kind", &snapshot.kinds);
    by(&mut text, "rule_findings_total", "Identifiers replaced, by rule.", "rule", &snapshot.rules);
    by(&mut text, "format_lines_total", "Lines, by format.", "format", &snapshot.formats);
    by(&mut text, "class_lines_total", "Lines, by retention class.", "class", &snapshot.classes);

    text.gauge("durable_lag_seconds", "How long the oldest block that is not durable has waited.")
        .plain(lag.oldest.as_secs_f64());
    text.gauge("durable_lag_blocks", "Blocks that are not durable.").plain(lag.blocks);
    text.gauge("open_segments", "Segments of the archive that are being written.")
        .plain(snapshot.open_segments);
    outputs(&mut text, snapshot);
    let mut purge = text
        .gauge("until_purge_seconds", "Time until the day of the next purge begins; negative if overdue.");
    if let Some(next) = snapshot.purge {
        purge.plain(next.wait.as_secs());
    }
    text.gauge("purge_undone", "1 if the last purge left undone what was due; the log says why.")
        .plain(u8::from(snapshot.purge_undone.is_some()));
    text.0
}

fn inputs(text: &mut Exposition, snapshot: &Snapshot) {
    type Of = fn(&super::snapshot::Input) -> u64;
    let counters: [(&str, &str, Of); 6] = [
        ("input_lines_total", "Records taken, by input.", |input| input.lines),
        ("input_bytes_total", "Bytes taken, by input.", |input| input.bytes),
        ("input_connections_total", "Connections accepted, by input.", |input| input.accepted),
        ("input_broken_total", "Connections ended because of their peer, by input.", |input| input.broken),
        ("input_unanswered_total", UNANSWERED, |input| input.unanswered),
        ("input_kernel_dropped_total", KERNEL_DROPPED, |input| input.kernel_dropped),
    ];
    for (name, help, of) in counters {
        let mut metric = text.counter(name, help);
        snapshot.inputs.iter().for_each(|input| metric.labelled(&[("input", &input.name)], of(input)));
    }
    let mut open = text.gauge("input_connections", "Connections at the moment, by input.");
    snapshot.inputs.iter().for_each(|input| open.labelled(&[("input", &input.name)], input.connections));
    let help = "Files that are not read although they should be, by input; the log says why.";
    let mut failing = text.gauge("input_failing", help);
    snapshot.inputs.iter().for_each(|input| failing.labelled(&[("input", &input.name)], input.failing));
    let help = "Buffer that the kernel keeps for datagrams, by input.";
    let mut buffers = text.gauge("input_receive_buffer_bytes", help);
    for (name, bytes) in snapshot.inputs.iter().filter_map(|input| Some((&input.name, input.buffer_bytes?))) {
        buffers.labelled(&[("input", name)], bytes);
    }
}

const UNANSWERED: &str = "Records taken whose connection broke before they were answered, by input: their sender sends them again.";
const KERNEL_DROPPED: &str =
    "Datagrams that the kernel dropped because the buffer was full, by input; told with the next datagram.";

fn outputs(text: &mut Exposition, snapshot: &Snapshot) {
    type Of = fn(&super::snapshot::Output) -> u64;
    let gauges: [(&str, &str, Of); 4] = [
        ("output_linked", "1 if there is a connection, by output.", |output| output.linked.into()),
        ("output_away", "1 if the last connection broke or could not be made, by output.", |output| {
            output.away.into()
        }),
        ("spool_bytes", "Bytes that wait on disk, by output.", |output| output.spool_bytes),
        ("spool_lines", "Lines that wait on disk, by output.", |output| output.spool_lines),
    ];
    let counters: [(&str, &str, Of); 6] = [
        ("output_delivered_total", "Lines that were taken over, by output.", |output| output.delivered),
        ("output_resent_total", "Lines that were sent again after a link broke, by output.", |output| {
            output.resent
        }),
        ("output_dropped_total", "Lines that an output did not get, for its spool was full.", |output| {
            output.dropped
        }),
        ("output_refused_total", "Lines that the receiver of an output refused.", |output| output.refused),
        ("output_expired_total", "Lines whose day came before they were sent, by output.", |output| {
            output.expired
        }),
        ("output_failures_total", "Links that broke or could not be made, by output.", |output| {
            output.failures
        }),
    ];
    let each = |mut metric: Metric<'_>, of: &dyn Fn(&super::snapshot::Output) -> String| {
        for output in &snapshot.outputs {
            let required = if output.required { "true" } else { "false" };
            metric.labelled(&[("output", &output.name), ("required", required)], of(output));
        }
    };
    for (name, help, of) in gauges {
        each(text.gauge(name, help), &|output| of(output).to_string());
    }
    let help = "How long the oldest line that an output has not taken over has waited.";
    each(text.gauge("output_lag_seconds", help), &|output| output.waiting.as_secs_f64().to_string());
    for (name, help, of) in counters {
        each(text.counter(name, help), &|output| of(output).to_string());
    }
}

/// The text rendered so far.
#[derive(Default)]
struct Exposition(String);

/// Adds the samples of one metric.
struct Metric<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    fn counter(&mut self, name: &'static str, help: &str) -> Metric<'_> {
        self.metric(name, help, "counter")
    }

    fn gauge(&mut self, name: &'static str, help: &str) -> Metric<'_> {
        self.metric(name, help, "gauge")
    }

    fn metric(&mut self, name: &'static str, help: &str, kind: &str) -> Metric<'_> {
        // Writing to memory cannot fail.
        let _ = writeln!(self.0, "# HELP oubliette_{name} {help}\n# TYPE oubliette_{name} {kind}");
        Metric { text: &mut self.0, name }
    }
}

impl Metric<'_> {
    fn plain(&mut self, value: impl Display) {
        let _ = writeln!(self.text, "oubliette_{} {value}", self.name);
    }

    fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let _ = writeln!(self.text, "oubliette_{}{{{}}} {value}", self.name, labels.join(","));
    }
}

/// Escapes a label value: backslash, quote and line feed.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LineCounts;
    use crate::telemetry::snapshot::{Input, Lag, Output, Purge, State};
    use insta::assert_snapshot;
    use jiff::SignedDuration;
    use std::time::Duration;

    #[test]
    fn everything_is_shown() {
        let count = |name: &str, count| Counts::from([(name.to_owned(), count)]);
        let snapshot = Snapshot {
            state: State::Running,
            uptime: Duration::from_millis(1500),
            taken: 12,
            lines: LineCounts {
                lines_in: 10,
                lines_out: 7,
                quarantined: 1,
                dropped: 2,
                expired: 2,
                undelivered: 0,
                bytes_in: 1000,
                bytes_out: 1100,
            },
            inputs: vec![Input {
                name: "unix /run/\"x\"\\\n".into(),
                lines: 12,
                bytes: 1200,
                connections: 1,
                accepted: 3,
                broken: 2,
                unanswered: 6,
                kernel_dropped: 4,
                failing: 13,
                buffer_bytes: Some(8192),
            }],
            kinds: count("ip", 9),
            rules: count("ipv4", 9),
            formats: count("rfc5424", 10),
            classes: count("connection", 10),
            outputs: vec![Output {
                name: "collector".into(),
                required: true,
                spool_bytes: 4096,
                spool_lines: 20,
                waiting: Duration::from_millis(1250),
                linked: true,
                away: false,
                delivered: 5,
                resent: 6,
                dropped: 7,
                refused: 8,
                expired: 9,
                failures: 10,
            }],
            lag: Lag { blocks: 2, oldest: Duration::from_millis(250) },
            open_segments: 3,
            repeated: 11,
            purge: Some(Purge {
                expires: jiff::civil::date(2027, 11, 24),
                days: 363,
                wait: SignedDuration::from_hours(363 * 24 - 10),
            }),
            purge_undone: Some("P07"),
        };
        let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
        let samples: Vec<_> = render(&snapshot)
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.replace(&version, "version=\"VERSION\""))
            .collect();
        assert_snapshot!(samples.join("\n"), @r#"
        oubliette_build_info{version="VERSION"} 1
        oubliette_uptime_seconds 1.5
        oubliette_state{state="running"} 1
        oubliette_input_lines_total{input="unix /run/\"x\"\\\n"} 12
        oubliette_input_bytes_total{input="unix /run/\"x\"\\\n"} 1200
        oubliette_input_connections_total{input="unix /run/\"x\"\\\n"} 3
        oubliette_input_broken_total{input="unix /run/\"x\"\\\n"} 2
        oubliette_input_unanswered_total{input="unix /run/\"x\"\\\n"} 6
        oubliette_input_kernel_dropped_total{input="unix /run/\"x\"\\\n"} 4
        oubliette_input_connections{input="unix /run/\"x\"\\\n"} 1
        oubliette_input_failing{input="unix /run/\"x\"\\\n"} 13
        oubliette_input_receive_buffer_bytes{input="unix /run/\"x\"\\\n"} 8192
        oubliette_lines_in_total 10
        oubliette_lines_out_total 7
        oubliette_lines_quarantined_total 1
        oubliette_lines_dropped_total 2
        oubliette_lines_expired_total 2
        oubliette_lines_undelivered_total 0
        oubliette_lines_repeated_total 11
        oubliette_lines_on_their_way 2
        oubliette_invariant_holds 1
        oubliette_bytes_in_total 1000
        oubliette_bytes_out_total 1100
        oubliette_findings_total{kind="ip"} 9
        oubliette_rule_findings_total{rule="ipv4"} 9
        oubliette_format_lines_total{format="rfc5424"} 10
        oubliette_class_lines_total{class="connection"} 10
        oubliette_durable_lag_seconds 0.25
        oubliette_durable_lag_blocks 2
        oubliette_open_segments 3
        oubliette_output_linked{output="collector",required="true"} 1
        oubliette_output_away{output="collector",required="true"} 0
        oubliette_spool_bytes{output="collector",required="true"} 4096
        oubliette_spool_lines{output="collector",required="true"} 20
        oubliette_output_lag_seconds{output="collector",required="true"} 1.25
        oubliette_output_delivered_total{output="collector",required="true"} 5
        oubliette_output_resent_total{output="collector",required="true"} 6
        oubliette_output_dropped_total{output="collector",required="true"} 7
        oubliette_output_refused_total{output="collector",required="true"} 8
        oubliette_output_expired_total{output="collector",required="true"} 9
        oubliette_output_failures_total{output="collector",required="true"} 10
        oubliette_until_purge_seconds 31327200
        oubliette_purge_undone 1
        "#);
    }
}
