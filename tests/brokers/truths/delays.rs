//! A proxy between the run and the cluster delays each response by a known time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{sleep, spawn};
use std::time::Duration;

use lanekeeper::base::{Clock, Time};

use super::{BUSY_MS, assert_about};
use crate::cluster::{Arm, on_the_cluster};

const LATER: Duration = Duration::from_millis(300);
/// Largest number of pieces of responses in the proxy at a time, which these runs never reach.
const PIECES_MAX: usize = 10_000;

/// An IPv4 address as in a Metadata response: its text, and the port in four bytes.
fn in_metadata(host: &str, port: u16) -> Vec<u8> {
    [host.as_bytes(), &u32::from(port).to_be_bytes()].concat()
}

/// Starts a proxy for each broker, which the port identifies. Returns the addresses of the proxies. The threads end
/// with the process of the test.
fn wires(bootstrap: &str) -> String {
    let far: Vec<(String, u16)> = bootstrap
        .split(',')
        .map(|address| address.rsplit_once(':').expect("a port"))
        .map(|(host, port)| (host.to_owned(), port.parse().expect("a port")))
        .collect();
    let near: Vec<TcpListener> =
        far.iter().map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let ports: Vec<u16> =
        near.iter().map(|it| it.local_addr().expect("an address").port()).collect();
    let renamed = far
        .iter()
        .zip(&ports)
        .map(|((host, port), new)| (in_metadata(host, *port), in_metadata(host, *new)));
    let renamed: Arc<Vec<(Vec<u8>, Vec<u8>)>> = Arc::new(renamed.collect());
    for (listener, (host, port)) in near.into_iter().zip(far) {
        let renamed = renamed.clone();
        spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(broker) = TcpStream::connect((host.as_str(), port)) else { return };
                carry(client, broker, renamed.clone());
            }
        });
    }
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// Forwards requests at once, and each response after [`LATER`].
fn carry(client: TcpStream, broker: TcpStream, renamed: Arc<Vec<(Vec<u8>, Vec<u8>)>>) {
    for end in [&client, &broker] {
        end.set_nodelay(true).expect("a socket");
    }
    let (mut requests, mut to_broker) =
        (client.try_clone().expect("a socket"), broker.try_clone().expect("a socket"));
    spawn(move || {
        let _ = std::io::copy(&mut requests, &mut to_broker);
        let _ = to_broker.shutdown(Shutdown::Both);
    });
    let (pieces, arriving) = sync_channel::<(Time, Vec<u8>)>(PIECES_MAX);
    let (mut answers, mut to_client) = (broker, client);
    let clock = Clock::start();
    spawn(move || {
        let mut piece = vec![0; 1 << 16];
        while let Ok(length @ 1..) = answers.read(&mut piece) {
            let mut piece = piece[..length].to_vec();
            for (old, new) in renamed.iter() {
                for at in 0..piece.len().saturating_sub(old.len() - 1) {
                    if piece[at..].starts_with(old) {
                        piece[at..at + new.len()].copy_from_slice(new);
                    }
                }
            }
            if pieces.send((clock.now() + LATER, piece)).is_err() {
                return;
            }
        }
    });
    spawn(move || {
        for (due, piece) in arriving {
            sleep(due.remaining(clock.now()));
            if to_client.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// At ten records a second, no record waits for an earlier request. So an acknowledgement takes longer by the delay of
/// its response. The way to the consumer does so too, or by up to two delays, if a response is in flight when the
/// record is appended.
#[test]
fn what_answers_take_longer_is_in_the_time_of_each_acknowledgement_and_each_record() {
    on_the_cluster(|arm| {
        let topic = arm.topic("wire", 1);
        let through = Arm::Cluster(wires(arm.bootstrap()));
        let text = "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"10/s\"\nphases = \"uniform\"\n\
                    [run]\nwarmup = \"1s\"\nduration = \"5s\"\n";
        for client in ["rdkafka", "native"] {
            let run = through.run(text).set([topic.set().as_str()]).args(["--client", client]);
            let summary = run.exits(0).summary();
            let ack = summary.latency_us.ack.as_ref().expect("acknowledgements");
            assert_eq!((ack.count, ack.negative), (50, 0), "{client}: {ack:?}");
            let later_ms = LATER.as_secs_f64() * 1e3;
            let p50_ms = ack.p50.expect("records") / 1e3;
            assert_about(&format!("{client}: ack"), p50_ms, later_ms, BUSY_MS, &summary);
            let service_ms = summary.latency_us.service.p50.expect("records") / 1e3;
            // A record that is appended right after a response was sent waits for the next response as well.
            let most_ms = later_ms + BUSY_MS;
            assert_about(&format!("{client}: service"), service_ms, later_ms, most_ms, &summary);
            if let Some(requests) = &summary.requests {
                let produce_ms = requests.produce_us.p50.expect("requests") / 1e3;
                assert_about("a Produce request", produce_ms, later_ms, BUSY_MS, &summary);
            }
        }
    });
}
