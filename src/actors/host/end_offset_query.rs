//! Asking the broker for end offsets, independently of any consumer: on a thread, because it blocks, or by the
//! kernel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use super::simulated::Hosting;
use crate::actors::Context;
use crate::base::{Clock, Offset, PartitionId, Time};
use crate::broker::BrokerError;
use crate::broker::sim::KernelHandle;

/// When it was asked, and the end offset of every partition; or why it is not known.
type EndsAnswer = Result<(Time, BTreeMap<PartitionId, Offset>), BrokerError>;

/// Asks for end offsets, one request at a time; the answers go to its owner.
pub(in crate::actors) struct EndOffsetQuery {
    path: QueryPath,
}

enum QueryPath {
    Thread(Sender<()>),
    Kernel(KernelHandle, Clock, Arc<dyn Fn(EndsAnswer) + Send + Sync>),
}

impl EndOffsetQuery {
    /// Gives every answer to `heed`.
    pub(in crate::actors) fn new(
        context: &Context,
        heed: impl Fn(EndsAnswer) + Send + Sync + 'static,
    ) -> Result<EndOffsetQuery, BrokerError> {
        if let Hosting::Kernel(kernel) = &context.hosting {
            return Ok(EndOffsetQuery {
                path: QueryPath::Kernel(kernel.clone(), context.clock, Arc::new(heed)),
            });
        }
        let (ask, questions) = mpsc::channel();
        let (mut client, clock) = (context.cluster.end_offsets()?, context.clock);
        let answering = std::thread::Builder::new().name("end-offsets".to_owned());
        // Ends when the sender is dropped.
        let answer = move || {
            while questions.recv().is_ok() {
                let asked = clock.now();
                heed(client.fetch().map(|ends| (asked, ends)));
            }
        };
        answering.spawn(answer).map_err(|error| BrokerError::fatal(error.to_string()))?;
        Ok(EndOffsetQuery { path: QueryPath::Thread(ask) })
    }

    /// Asks. False when there will be no answer.
    pub(in crate::actors) fn ask(&self) -> bool {
        match &self.path {
            QueryPath::Thread(ask) => ask.send(()).is_ok(),
            QueryPath::Kernel(kernel, clock, heed) => {
                let (asked, heed) = (clock.now(), heed.clone());
                kernel.ask_ends(move |ends| heed(Ok((asked, ends))));
                true
            }
        }
    }
}
