//! Native clients with brokers that close connections, do not respond, or send invalid bytes.

mod full_socket;
mod moves;
mod names;
mod scripted;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::TcpAdmin;
use super::asker::Asker;
use super::brokers::Brokers;
use super::producer::TcpProducer;
use super::request::Topic;
use super::transport::Transport;
use crate::base::{Clock, PartitionId, ProducerId};
use crate::broker::native::{NativeProducer, NativeSettings};
use crate::broker::secure::Access;
use crate::broker::setup::{Administrator, Deadline};
use crate::broker::wire::Endpoint;
use crate::broker::{Answers, ProducerPort, SendRecord};
use crate::measure::RequestCounter;
use crate::plan::{Assignor, Compression, Overrides, Plan, compile};
use crate::scenario::Source;

/// Starts a broker that calls `answer` for each connection. Returns its port and the count of connections. It ends with
/// the process.
fn broker(answer: fn(&mut TcpStream)) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || answer(&mut stream));
        }
    });
    (port, count)
}

fn topic(clock: Clock) -> Topic {
    Topic {
        name: "orders".to_owned(),
        id: Default::default(),
        client_id: "test".into(),
        compression: Compression::None,
        group: "group".to_owned(),
        assignor: Assignor::Range,
        is_of_consumer_protocol: false,
        clock,
    }
}

fn plan() -> Plan {
    let source = Source { name: "x.toml".to_owned(), text: "[topic]\npartitions = 1\n".to_owned() };
    compile(&source, &[], &Overrides::default()).0.expect("a plan")
}

/// The transport of a producer on a cluster with one broker at this port.
fn transport(port: u16, clock: Clock) -> Transport<NativeProducer> {
    let endpoint = Endpoint { node_id: 1, host: "127.0.0.1".to_owned(), port: i32::from(port) };
    let mut brokers = Brokers::default();
    brokers.learn(&[endpoint]);
    let settings = NativeSettings {
        reconnect_backoff: Duration::from_millis(20),
        request_timeout: Duration::from_millis(200),
        ..NativeSettings::default()
    };
    let client = NativeProducer::new(&plan().load, 1, settings);
    let counter = RequestCounter::new(Arc::default());
    Transport::new(vec![client], brokers, topic(clock), (clock, counter)).expect("descriptors")
}

/// Runs a producer with such a broker for a second. Returns the number of connections, and the errors that it counted.
fn for_a_while(answer: fn(&mut TcpStream)) -> (usize, Answers) {
    let (port, connections) = broker(answer);
    let clock = Clock::start();
    let mut transport = transport(port, clock);
    let mut answers = Answers::default();
    let end = clock.now() + Duration::from_secs(1);
    let mut now = clock.now();
    // A turn ends with an event, or when the client has to act. A busy loop would need far more turns.
    for _ in 0..10_000 {
        if now >= end {
            break;
        }
        now = transport.turn(now, end.remaining(now));
        transport.take_served(|_, client| client.answers(now, Duration::ZERO, &mut answers));
    }
    assert!(now >= end, "10,000 turns in a second");
    (connections.load(Ordering::SeqCst), answers)
}

fn read_request(stream: &mut TcpStream) {
    let mut length = [0; 4];
    if stream.read_exact(&mut length).is_ok() {
        let mut body = vec![0; u32::from_be_bytes(length).min(10_000) as usize];
        let _ = stream.read_exact(&mut body);
    }
}

#[test]
fn a_broker_that_sends_nonsense_is_asked_again_with_increasing_pauses() {
    let nonsense: [fn(&mut TcpStream); 4] = [
        // A frame of 2 GiB.
        |stream| drop((read_request(stream), stream.write_all(&i32::MAX.to_be_bytes()))),
        // A response without a request.
        |stream| drop((read_request(stream), stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 9]))),
        // A response in another protocol.
        |stream| {
            drop((read_request(stream), stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
        },
        // It closes the connection without a response.
        |_| (),
    ];
    for answer in nonsense {
        let (connections, answers) = for_a_while(answer);
        // Attempts are 20, 40, 80 ... ms apart: six in the first second, and a few more if a pause is shortened.
        assert!((2..20).contains(&connections), "{connections} connections");
        assert!(answers.errors.contains_key("BrokerTransportFailure"), "{:?}", answers.errors);
    }
}

#[test]
fn what_is_given_up_is_answered_at_once() {
    let (port, _) = broker(|stream| drop(stream.read_to_end(&mut Vec::new())));
    let clock = Clock::start();
    let mut port = TcpProducer::new(transport(port, clock), 1);
    let (producer, partition) = (ProducerId(0), PartitionId(0));
    let record = SendRecord {
        producer,
        partition,
        sequence: 0,
        payload: b"x",
        is_packed: false,
        sent: crate::base::Time(0),
        is_alone: true,
    };
    std::thread::sleep(Duration::from_millis(1));
    // It is answered before the next check of the sockets, also on a slow machine.
    let now = clock.now();
    port.send(now, &record).expect("room");
    let mut answers = Answers::default();
    port.answers(now, Duration::from_millis(1), &mut answers);
    assert!(answers.acks.is_empty());
    port.give_up(now, Duration::ZERO);
    port.answers(now, Duration::ZERO, &mut answers);
    assert_eq!(answers.acks.len(), 1);
}

#[test]
fn a_broker_that_keeps_silent_is_left_after_the_limit() {
    let (connections, _) = for_a_while(|stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
    });
    assert!((2..10).contains(&connections), "{connections} connections");
}

#[test]
fn a_cluster_that_does_not_speak_the_protocol_is_not_found_and_the_reason_is_said() {
    let (port, _) = broker(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    });
    let clock = Clock::start();
    let addresses = format!("127.0.0.1:{port}, nowhere.invalid:9092");
    let mut asker = Asker::new(&addresses, "test".to_owned(), &Access::default());
    let deadline = Deadline::of(clock, Duration::from_secs(20));
    let errors = asker.metadata("orders", &deadline).expect_err("no cluster");
    let said = |name: &str| {
        let found = errors.iter().find(|(its, _)| its.starts_with(name));
        found.map(|(_, error)| error.to_string()).unwrap_or_default()
    };
    assert!(said("127.0.0.1").contains("is not readable"), "{errors:?}");
    assert!(said("nowhere.invalid").contains("nowhere.invalid:9092"), "{errors:?}");
}

/// The message about an address at which `answer` is called.
fn connection_failure(answer: fn(&mut TcpStream)) -> String {
    let (port, _) = broker(answer);
    let clock = Clock::start();
    let mut admin =
        TcpAdmin::with(&Access::default(), &format!("127.0.0.1:{port}"), "orders", clock);
    let deadline = Deadline::of(clock, Duration::from_secs(4));
    let error = admin.connect(&deadline).expect_err("no cluster").to_string();
    assert!(error.contains(&format!("`127.0.0.1:{port}`")), "{error}");
    error
}

#[test]
fn what_is_in_the_way_is_named_with_a_remedy() {
    let closed = connection_failure(read_request);
    assert!(closed.contains("as a listener with TLS or SASL does"), "{closed}");
    assert!(closed.contains("set `security.protocol` in the client file"), "{closed}");
    // The alert that a TLS listener sends.
    let tls = connection_failure(|stream| {
        read_request(stream);
        let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 70]);
    });
    assert!(tls.contains("as a listener with TLS or SASL does"), "{tls}");
    let other = connection_failure(|stream| {
        read_request(stream);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert!(other.contains("does not answer in Kafka's protocol"), "{other}");
    let silent = connection_failure(|stream| drop(stream.read_to_end(&mut Vec::new())));
    assert!(silent.contains("does not answer"), "{silent}");
}
