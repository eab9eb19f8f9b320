//! What a run found.

use std::time::Duration;

/// The figures of a run, of the time that counts.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// How long it was.
    pub(super) elapsed: Duration,
    /// Answers that were complete in it.
    pub(super) requests: u64,
    /// Chunks that came in it.
    pub(super) chunks: u64,
    /// What the processes had of processors.
    pub(super) processor: Duration,
    /// How long each answer took; at a fixed rate from the time its request was due.
    pub(super) latencies: Vec<Duration>,
    /// How long the first content took.
    pub(super) firsts: Vec<Duration>,
}

impl Figures {
    /// Writes the figures as one line of JSON, times in microseconds.
    pub(super) fn into_json(mut self) -> String {
        let figures = serde_json::json!({
            "seconds": self.elapsed.as_secs_f64(),
            "requests": self.requests,
            "chunks": self.chunks,
            "processor_us": microseconds(self.processor),
            "latency_us": quantiles(&mut self.latencies),
            "first_us": quantiles(&mut self.firsts),
        });
        figures.to_string()
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn quantiles(times: &mut [Duration]) -> serde_json::Value {
    times.sort_unstable();
    let at = |permille: usize| {
        // The least time that so many do not exceed.
        let rank = (times.len() * permille).div_ceil(1000).saturating_sub(1);
        times.get(rank).copied().map(microseconds)
    };
    serde_json::json!({ "p50": at(500), "p99": at(990), "p999": at(999), "max": at(1000) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let mut times: Vec<_> = (1..=1000).rev().map(Duration::from_micros).collect();
        let quantiles = quantiles(&mut times);
        for (name, value) in [
            ("p50", 500.0),
            ("p99", 990.0),
            ("p999", 999.0),
            ("max", 1000.0),
        ] {
            let found = quantiles[name].as_f64().unwrap();
            assert!((found - value).abs() < 1e-6, "{name}: {found}");
        }
    }

    #[test]
    fn nothing_measured_is_null() {
        assert!(quantiles(&mut [])["p50"].is_null());
    }
}
