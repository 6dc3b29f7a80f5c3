//! More partitions for a topic.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use super::config::ClientSettings;
use super::error::classify;
use crate::broker::{BrokerError, ErrorClass};

/// How long the cluster may take.
const STEP: Duration = Duration::from_secs(10);

/// Gives `topic` partitions until it has `total`. Blocks.
pub(super) fn create_partitions(
    settings: &ClientSettings,
    topic: &str,
    total: u32,
) -> Result<(), BrokerError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.observer("admin").create().map_err(|error| classify(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| BrokerError::fatal(format!("no runtime: {error}")))?;
    let options = AdminOptions::new().request_timeout(Some(STEP)).operation_timeout(Some(STEP));
    let wanted = NewPartitions::new(topic, total as usize);
    let results = runtime
        .block_on(admin.create_partitions([&wanted], &options))
        .map_err(|error| classify(&error))?;
    match results.into_iter().next() {
        Some(Err((_, code))) => Err(BrokerError {
            class: ErrorClass::Denied,
            message: format!("topic `{topic}` cannot have {total} partitions: {code}"),
        }),
        _ => Ok(()),
    }
}
