//! The embedded broker: librdkafka's mock cluster, on a thread of its own because it cannot leave it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rdkafka::mocking::MockCluster;

/// A running mock cluster. Dropping it stops the brokers.
#[derive(Debug)]
pub struct Embedded {
    bootstrap: String,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts `brokers` mock brokers with one topic.
    pub fn start(
        brokers: u32,
        topic: &str,
        partitions: u32,
        replication_factor: u32,
    ) -> Result<Embedded, String> {
        let (stop, stopped) = channel();
        let (ready, started) = channel();
        let topic = topic.to_owned();
        let thread = std::thread::Builder::new()
            .name("embedded".to_owned())
            .spawn(move || {
                let create = || -> Result<_, rdkafka::error::KafkaError> {
                    let cluster = MockCluster::new(brokers as i32)?;
                    cluster.create_topic(&topic, partitions as i32, replication_factor as i32)?;
                    Ok(cluster)
                };
                host(create, &ready, &stopped);
            })
            .map_err(|error| error.to_string())?;
        let bootstrap = started.recv().map_err(|error| error.to_string())??;
        Ok(Embedded { bootstrap, stop: Some(stop), thread: Some(thread) })
    }

    /// Comma-separated `host:port` of the brokers.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

fn host<C>(
    create: impl FnOnce() -> Result<MockCluster<'static, C>, rdkafka::error::KafkaError>,
    ready: &Sender<Result<String, String>>,
    stopped: &Receiver<()>,
) where
    C: rdkafka::ClientContext + 'static,
{
    match create() {
        Ok(cluster) => {
            let _ = ready.send(Ok(cluster.bootstrap_servers()));
            // Returns when the sender is dropped.
            let _ = stopped.recv();
        }
        Err(error) => {
            let _ = ready.send(Err(error.to_string()));
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
