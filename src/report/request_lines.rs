//! Requests of the native client, for the terminal report.

use super::table::us;
use crate::base::{format_bytes, format_count};
use crate::summary::{ClientRequests, Digest, RequestSizes};

/// The figures, a line for each.
pub(super) fn request_lines(requests: &ClientRequests) -> Vec<String> {
    let mut kinds: Vec<(&String, &f64)> = requests.per_s.iter().collect();
    kinds.sort_by(|one, other| other.1.total_cmp(one.1));
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, per_s)| format!("{kind} {per_s:.1}/s")).collect();
    let mut lines = vec![
        format!(
            "connections {} at most, {} made",
            format_count(requests.connections_max),
            format_count(requests.connections_made)
        ),
        format!("requests {:.1}/s: {}", requests.all_per_s, kinds.join(", ")),
    ];
    lines.extend(sizes("batches of Produce requests", &requests.produced, &requests.produce_us));
    lines.extend(sizes("Fetch responses with records", &requests.fetched, &requests.fetch_us));
    if requests.throttled_ms > 0.0 {
        lines.push(format!("held back by quotas for {:.0} ms", requests.throttled_ms));
    }
    lines
}

/// Size of requests, and time until their responses.
fn sizes(what: &str, sizes: &RequestSizes, took: &Digest) -> Option<String> {
    let (records, bytes) = (sizes.records_each?, sizes.bytes_each?);
    let bytes = format_bytes(bytes as u64);
    let times = [took.p50, took.p99].map(us);
    let times = match took.count {
        0 => String::new(),
        _ => format!("; response after p50 {}, p99 {}", times[0], times[1]),
    };
    Some(format!("{what}: {records:.1} records, {bytes} each on average{times}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_by_their_number_and_nothing_is_said_of_what_there_was_not() {
        let per_s = [("Fetch", 36.0), ("Metadata", 0.25), ("Produce", 512.5)];
        let requests = ClientRequests {
            connections_max: 1_042,
            connections_made: 1_043,
            per_s: per_s.map(|(kind, per_s)| (kind.to_owned(), per_s)).into(),
            all_per_s: 548.75,
            produced: RequestSizes {
                count: 2,
                records: 8,
                bytes: 2_048,
                records_each: Some(4.0),
                bytes_each: Some(1_024.0),
            },
            ..ClientRequests::default()
        };
        let expected = [
            "connections 1,042 at most, 1,043 made",
            "requests 548.8/s: Produce 512.5/s, Fetch 36.0/s, Metadata 0.2/s",
            "batches of Produce requests: 4.0 records, 1 KiB each on average",
        ];
        assert_eq!(request_lines(&requests), expected);
    }
}
