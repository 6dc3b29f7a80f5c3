//! The lines about sending, for the terminal report and the page.

use crate::base::{format_bytes, format_count};
use crate::summary::{Sending, Summary};

/// The effective settings, and the sizes of batches; empty if the run sent nothing.
pub(super) fn sending_lines(summary: &Summary) -> Vec<String> {
    let Some(sending) = &summary.sending else { return Vec::new() };
    vec![settings(sending), batches(sending, summary)]
}

fn settings(sending: &Sending) -> String {
    let idempotence = if sending.idempotence { "idempotent" } else { "not idempotent" };
    let hidden = || "(hidden)".to_owned();
    format!(
        "acks {}, {idempotence}, linger {}, batches of at most {} and {} records, {} requests in flight per connection",
        sending.acks,
        sending.linger_ms.map_or_else(hidden, |ms| format!("{ms} ms")),
        sending.batch_bytes_max.map_or_else(hidden, |bytes| format!("{} B", format_count(bytes))),
        sending.batch_records_max.map_or_else(hidden, format_count),
        sending.in_flight_max.map_or_else(hidden, format_count),
    )
}

fn batches(sending: &Sending, summary: &Summary) -> String {
    let level = sending.compression_level.map_or(String::new(), |level| format!(" level {level}"));
    let codec = format!("compression {}{level}", sending.compression);
    let known = (sending.batches, sending.batch_bytes, sending.uncompressed_bytes);
    let (Some(batches), Some(bytes), Some(uncompressed)) = known else {
        let reason = summary.not_measured.get("sending.compression_ratio");
        return match reason {
            Some(reason) => format!("{codec}; ratio not measured: {reason}"),
            None => codec,
        };
    };
    let ratio = sending
        .compression_ratio
        .map_or(String::new(), |ratio| format!(", compression ratio {ratio:.2}"));
    format!(
        "{codec}: {} batches of {} on the wire, {} without compression{ratio}",
        format_count(batches),
        format_bytes(bytes),
        format_bytes(uncompressed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_batches_have_a_line_each_and_what_is_not_known_is_said() {
        let sending = Sending {
            acks: "all".to_owned(),
            idempotence: true,
            linger_ms: Some(0.5),
            batch_bytes_max: Some(1_000_000),
            compression: "zstd".to_owned(),
            compression_level: Some(3),
            in_flight_max: Some(5),
            ..Sending::default()
        };
        let mut summary = Summary { sending: Some(sending), ..Summary::default() };
        let place = "sending.compression_ratio".to_owned();
        summary.not_measured.insert(place, "there is a reason".to_owned());
        let expected = [
            "acks all, idempotent, linger 0.5 ms, batches of at most 1,000,000 B and (hidden) records, \
             5 requests in flight per connection",
            "compression zstd level 3; ratio not measured: there is a reason",
        ];
        assert_eq!(sending_lines(&summary), expected);
        let sending = summary.sending.as_mut().expect("settings");
        (sending.batches, sending.batch_bytes) = (Some(1_200), Some(2_048));
        (sending.uncompressed_bytes, sending.compression_ratio) = (Some(5_120), Some(2.5));
        let expected = "compression zstd level 3: 1,200 batches of 2 KiB on the wire, 5 KiB without compression, \
                        compression ratio 2.50";
        assert_eq!(sending_lines(&summary)[1], expected);
        assert!(sending_lines(&Summary::default()).is_empty());
    }
}
