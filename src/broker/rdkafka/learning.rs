//! Producers' clients learn of new partitions: to one it has not heard of, a client sends nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::growth;

/// How long a client may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Questions to a client, and what lies between two of them, before it starts all over.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// What a pool's clients know.
#[derive(Debug, Default)]
pub(super) struct Learning {
    /// Partitions every client knows.
    known: Arc<AtomicU32>,
    under_way: Arc<AtomicBool>,
}

impl Learning {
    /// Whether every client knows partitions below `partitions`; if not, they are asked to look beside their work.
    pub(super) fn follow<C: ProducerContext + 'static>(
        &self,
        clients: &Arc<Vec<BaseProducer<C>>>,
        topic: &str,
        partitions: u32,
    ) -> bool {
        if self.known.load(Ordering::Acquire) >= partitions {
            return true;
        }
        if self.under_way.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (clients, topic) = (clients.clone(), topic.to_owned());
        let (known, under_way) = (self.known.clone(), self.under_way.clone());
        let learning = std::thread::Builder::new().name("learning".to_owned()).spawn(move || {
            if clients.iter().all(|client| knows(client, &topic, partitions)) {
                known.fetch_max(partitions, Ordering::AcqRel);
            }
            under_way.store(false, Ordering::Release);
        });
        if learning.is_err() {
            self.under_way.store(false, Ordering::Release);
        }
        false
    }
}

fn knows<C: ProducerContext>(client: &BaseProducer<C>, topic: &str, partitions: u32) -> bool {
    (0..TRIES).any(|_| {
        let size = growth::size(client.client(), topic, LIMIT);
        let knows = size.is_ok_and(|size| size.led >= partitions);
        if !knows {
            std::thread::sleep(PAUSE);
        }
        knows
    })
}
