//! A slow lookup of a broker's name does not delay the other brokers of the same client.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::moves::{TestProducer, brokers_asked, script};
use super::scripted::{Script, ScriptedCluster};
use crate::base::Clock;
use crate::broker::secure::Access;
use crate::broker::setup::Deadline;
use crate::broker::tcp::brokers::Brokers;
use crate::broker::tcp::require_an_address;
use crate::broker::tcp::resolver::Resolver;
use crate::broker::wire::{Api, Endpoint};

/// A resolver that blocks until the sender is dropped, and then returns `127.0.0.1`.
fn silent() -> (mpsc::Sender<()>, Resolver) {
    let (release, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let resolver = Resolver::new(move |name| {
        let _ = hold.lock().expect("no panic").recv();
        let (_, port) = name.rsplit_once(':').expect("a port");
        Ok(vec![format!("127.0.0.1:{port}").parse().expect("an address")])
    });
    (release, resolver)
}

#[test]
fn other_brokers_are_asked_while_a_name_is_looked_up() {
    let named = Script {
        named: vec![1, 2],
        host_of_2: Some("silent.example"),
        said: (2, 3),
        real: (2, 3),
        ..script()
    };
    let cluster = ScriptedCluster::start(2, named);
    let (release, resolver) = silent();
    let mut producer = TestProducer::with(Brokers::new(Access::default(), resolver), &cluster);
    producer.begin();
    let is_asked_again = (0..1_000).any(|_| {
        producer.turns(Duration::from_millis(20));
        brokers_asked(&cluster, Api::Metadata).len() >= 3
    });
    assert!(is_asked_again, "broker 1 is not asked while the name of broker 2 is looked up");
    assert!(brokers_asked(&cluster, Api::Produce).is_empty());
    // The partition moves to a broker that can be reached, and the client continues there.
    {
        let mut script = cluster.script();
        (script.said, script.real) = ((1, 4), (1, 4));
    }
    producer.send();
    assert!(!brokers_asked(&cluster, Api::Produce).contains(&2));
    // The lookup ends, and the partition moves back.
    drop(release);
    {
        let mut script = cluster.script();
        (script.said, script.real) = ((2, 5), (2, 5));
    }
    // A response to the first record may still be in flight.
    let is_used = (0..5).any(|_| {
        producer.send();
        brokers_asked(&cluster, Api::Produce).contains(&2)
    });
    assert!(is_used, "the address of broker 2 is known and not used");
}

#[test]
fn a_name_without_an_address_is_named() {
    let (_release, resolver) = silent();
    let mut brokers = Brokers::new(Access::default(), resolver);
    brokers.learn(&[Endpoint { node_id: 7, host: "silent.example".to_owned(), port: 9 }]);
    let brief = Deadline::of(Clock::start(), Duration::from_millis(50));
    let error = require_an_address(&brokers, &brief).expect_err("no address").message;
    assert!(error.contains("silent.example:9: the name servers have not answered"), "{error}");
    brokers.learn(&[Endpoint { node_id: 8, host: "127.0.0.1".to_owned(), port: 9 }]);
    assert!(require_an_address(&brokers, &brief).is_ok());
}
