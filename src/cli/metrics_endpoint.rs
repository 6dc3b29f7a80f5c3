//! `run --metrics`: an HTTP endpoint for Prometheus during a run.
//!
//! It responds with the latest snapshot, on a thread of its own. Scrapes and threads of the run never wait for each
//! other.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use clap::Args;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};

use crate::base::{Clock, Time, printable};
use crate::error::Error;
use crate::plan::Plan;
use crate::report::{ExpositionFormat, LatestSnapshot, exposition};

/// Where metrics are served.
#[derive(Debug, Args)]
pub(super) struct MetricsArguments {
    /// Serve metrics for Prometheus at http://ADDRESS/metrics during the run. With port 0, the system chooses a free port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,

    /// Allow an address for `--metrics` that other machines can reach.
    #[arg(long, requires = "metrics")]
    allow_remote_metrics: bool,
}

/// Largest number of connections at once. Further ones are closed.
const CONNECTIONS_MAX: usize = 16;
/// Time limit for a client's request and for reading the response.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Shortest and longest wait for the scrape that sees the verdict.
const LAST_SCRAPE_LIMITS: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(30));
/// Time between two checks for an interruption during that wait.
const LOOK: Duration = Duration::from_millis(100);

impl MetricsArguments {
    /// Binds the address, if there is one. Requests are not handled yet.
    ///
    /// # Errors
    /// The run has no wall clock, or the address is wrong, not allowed or taken.
    pub(super) fn bind(&self, plan: &Plan) -> Result<Option<TcpListener>, Error> {
        let Some(text) = &self.metrics else { return Ok(None) };
        if plan.broker.capability().is_modelled {
            return Err(Error::Input(format!(
                "`--metrics` is for runs in real time: `{}` runs in virtual time, seconds of which pass between two scrapes; \
                 leave `--metrics` out, or use another `--broker`",
                plan.broker.kind()
            )));
        }
        let shown = printable(text);
        let Some(address) = text.to_socket_addrs().ok().and_then(|mut found| found.next()) else {
            return Err(Error::Input(format!(
                "`--metrics {shown}` is no address with a port; give one such as `127.0.0.1:9464`"
            )));
        };
        if !address.ip().is_loopback() && !self.allow_remote_metrics {
            return Err(Error::Input(format!(
                "other machines could read the metrics at {address}; give an address such as `127.0.0.1:{}`, or add \
                 `--allow-remote-metrics` if that is what you want",
                address.port()
            )));
        }
        TcpListener::bind(address).map(Some).map_err(|error| {
            Error::Environment(match error.kind() {
                ErrorKind::AddrInUse => format!(
                    "cannot serve metrics at {address}: the port is taken, perhaps by another run; give another one, or \
                     `--metrics {}:0` for any that is free",
                    address.ip()
                ),
                ErrorKind::AddrNotAvailable => format!(
                    "cannot serve metrics at {address}: this machine does not have the address; `127.0.0.1:{}` is one \
                     it has",
                    address.port()
                ),
                _ => format!("cannot serve metrics at {address}: {error}; give another address"),
            })
        })
    }
}

/// An endpoint that handles scrapes until it is dropped.
#[derive(Debug)]
pub(super) struct MetricsEndpoint {
    address: SocketAddr,
    scrapes: Arc<Scrapes>,
    _ends: oneshot::Sender<Infallible>,
}

impl MetricsEndpoint {
    /// Handles scrapes from `latest` on a thread of its own.
    ///
    /// # Errors
    /// The operating system gives no thread or no runtime.
    pub(super) fn start(
        listener: TcpListener,
        latest: LatestSnapshot,
    ) -> std::io::Result<MetricsEndpoint> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let scrapes = Arc::new(Scrapes {
            latest,
            clock: Clock::start(),
            times: Mutex::default(),
            came: Condvar::new(),
        });
        let (ends, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = scrapes.clone();
        std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve(listener, served, ended)) {
                tracing::warn!(%error, "metrics are not served any more");
            }
        })?;
        Ok(MetricsEndpoint { address, scrapes, _ends: ends })
    }

    /// The URL of the endpoint.
    pub(super) fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Waits until the verdict was scraped, if this run is scraped at all. The limit is twice the time between the last
    /// two scrapes, at least 3 seconds from now and at most 30 from the last scrape. The wait ends at once if
    /// `is_interrupted` returns true.
    pub(super) fn wait_for_last_scrape(&self, is_interrupted: impl Fn() -> bool) {
        self.scrapes.wait_for_verdict(is_interrupted);
    }
}

/// The last scrapes with their times.
#[derive(Debug)]
struct Scrapes {
    latest: LatestSnapshot,
    clock: Clock,
    times: Mutex<ScrapeTimes>,
    came: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct ScrapeTimes {
    last: Option<Time>,
    apart: Option<Duration>,
    has_verdict: bool,
}

impl ScrapeTimes {
    /// End of the wait for the verdict's scrape; `None` before the second scrape. The wait takes at least the shortest
    /// limit from `now`: if the whole machine paused, the last scrape is old although scrapes continue.
    fn end_of_wait(&self, now: Time) -> Option<Time> {
        let (shortest, longest) = LAST_SCRAPE_LIMITS;
        let next = self.last? + (2 * self.apart?).clamp(shortest, longest);
        Some(next.max(now + shortest))
    }
}

impl Scrapes {
    fn note(&self, has_verdict: bool) {
        let now = self.clock.now();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.apart = times.last.map(|last| now.remaining(last));
        times.last = Some(now);
        times.has_verdict |= has_verdict;
        self.came.notify_all();
    }

    fn wait_for_verdict(&self, is_interrupted: impl Fn() -> bool) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = times.end_of_wait(self.clock.now()) else { return };
        while !times.has_verdict && self.clock.now() < until && !is_interrupted() {
            let waited = self.came.wait_timeout(times, LOOK);
            times = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

async fn serve(
    listener: TcpListener,
    scrapes: Arc<Scrapes>,
    mut ended: oneshot::Receiver<Infallible>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut ended => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // For example, no file descriptor is left. That may change.
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let Ok(permit) = room.clone().try_acquire_owned() else { continue };
        let scrapes = scrapes.clone();
        let answering = async move {
            let scraped = OnceLock::new();
            let service = service_fn(|request| {
                let answer = answer(&request, &scrapes.latest, &scraped);
                async { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).keep_alive(false).header_read_timeout(CONNECTION_LIMIT);
            let served = tokio::time::timeout(
                CONNECTION_LIMIT,
                http.serve_connection(TokioIo::new(stream), service),
            );
            // A client that disconnects or is too slow is no error. The process may end after a scrape of the verdict,
            // so a scrape counts when its response is written.
            if let (Ok(Ok(())), Some(has_verdict)) = (served.await, scraped.get()) {
                scrapes.note(*has_verdict);
            }
            drop(permit);
        };
        tokio::spawn(answering);
    }
}

/// The response to a request. Sets `scraped` for a scrape: true if its metrics have the verdict.
fn answer(
    request: &Request<Incoming>,
    latest: &LatestSnapshot,
    scraped: &OnceLock<bool>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let mut say = |status, kind: &'static str, text: Vec<u8>| {
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        *response.body_mut() = Full::from(text);
    };
    let plain = "text/plain; charset=utf-8";
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            let format = ExpositionFormat::accepted_by(accept.unwrap_or_default());
            let snapshot = latest.get();
            let has_verdict = snapshot.verdict.is_some();
            match exposition(snapshot, format) {
                Ok(text) => {
                    say(StatusCode::OK, format.content_type(), text);
                    // A connection has one request.
                    let _ = scraped.set(has_verdict);
                }
                Err(error) => {
                    say(StatusCode::INTERNAL_SERVER_ERROR, plain, format!("{error}\n").into());
                }
            }
        }
        (&Method::GET | &Method::HEAD, "/") => {
            say(StatusCode::OK, plain, "a run of lanekeeper; its metrics are at /metrics\n".into());
        }
        (&Method::GET | &Method::HEAD, _) => {
            say(StatusCode::NOT_FOUND, plain, "there is only /metrics here\n".into());
        }
        _ => {
            say(StatusCode::METHOD_NOT_ALLOWED, plain, "only GET and HEAD are answered\n".into());
            let methods = hyper::header::HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, methods);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_the_last_scrape_depends_on_the_time_between_scrapes() {
        let seconds = |seconds: u64| Time::ZERO + Duration::from_secs(seconds);
        let times = |last, apart: u64| ScrapeTimes {
            last: Some(last),
            apart: Some(Duration::from_secs(apart)),
            has_verdict: false,
        };
        assert_eq!(times(seconds(100), 1).end_of_wait(seconds(100)), Some(seconds(103)));
        assert_eq!(times(seconds(100), 10).end_of_wait(seconds(105)), Some(seconds(120)));
        assert_eq!(times(seconds(100), 60).end_of_wait(seconds(105)), Some(seconds(130)));
        // After a pause of the machine.
        assert_eq!(times(seconds(100), 1).end_of_wait(seconds(200)), Some(seconds(203)));
        let once = ScrapeTimes { last: Some(seconds(1)), ..ScrapeTimes::default() };
        assert_eq!(once.end_of_wait(seconds(1)), None);
    }
}
