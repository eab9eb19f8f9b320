//! A request that is being served: when it began, where it will be counted, and who tells what came
//! of it. All copies are the same visit.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::Method;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::label::Place;
use super::stopwatch::{Stopwatch, Times};
use super::traffic::{Labels, Traffic};

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Visit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    traffic: Arc<Traffic>,
    place: Place,
    stopwatch: Stopwatch,
    has_record: AtomicBool,
}

impl Visit {
    /// Begins now.
    pub(crate) fn begin(traffic: &Arc<Traffic>, path: &str, method: &Method) -> Self {
        let began = Instant::now();
        Self(Arc::new(Inner {
            traffic: Arc::clone(traffic),
            place: Place::of(path, method),
            stopwatch: Stopwatch::new(began),
            has_record: AtomicBool::new(false),
        }))
    }

    /// Returns where it will be counted.
    pub(crate) fn labels(&self) -> Labels {
        self.0.place.into()
    }

    /// Returns what runs while Berry works on the request.
    pub(crate) fn stopwatch(&self) -> &Stopwatch {
        &self.0.stopwatch
    }

    /// Measures the future: Berry works while it is polled.
    pub(crate) fn around<F: Future>(&self, future: F) -> Measured<F> {
        Measured {
            future,
            visit: self.clone(),
        }
    }

    /// Notes that the request has a record, which counts it and writes its line when its answer ends.
    pub(crate) fn is_recorded(&self) {
        self.0.has_record.store(true, Ordering::Relaxed);
    }

    /// Returns whether it has such a record.
    pub(crate) fn has_record(&self) -> bool {
        self.0.has_record.load(Ordering::Relaxed)
    }

    /// Counts it, with the time that it has taken, which it returns.
    pub(crate) fn ended(&self, status: u16) -> Times {
        let times = self.0.stopwatch.finish();
        self.0.traffic.ended(self.0.place, status, times.latency);
        times
    }

    /// The same of a request that was relayed: what Berry itself has spent on it is counted, too.
    pub(crate) fn relayed(&self, status: u16) -> Times {
        let times = self.ended(status);
        self.0.traffic.relayed(times.overhead);
        times
    }

    /// Notes that it was refused because its user has had enough.
    pub(crate) fn rate_limited(&self) {
        self.0.traffic.rate_limited();
    }
}

pin_project! {
    /// A future whose polls are measured.
    #[derive(Debug)]
    pub(crate) struct Measured<F> {
        #[pin]
        future: F,
        visit: Visit,
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let stopwatch = this.visit.stopwatch();
        stopwatch.start();
        let polled = this.future.poll(cx);
        stopwatch.stop();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_not_counted() {
        let visit = Visit::begin(&Arc::default(), "/v1/chat/completions", &Method::POST);

        visit.around(sleep(Duration::from_secs(5))).await;

        let (latency, overhead) = (Duration::from_secs(5), Duration::ZERO);
        assert_eq!(visit.stopwatch().read(), Times { latency, overhead });
    }
}
