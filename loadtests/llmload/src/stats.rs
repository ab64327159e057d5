//! Exact percentiles over recorded nanosecond samples.
use serde_json::{json, Value};

#[derive(Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub fn push(&mut self, ns: u64) {
        self.0.push(ns);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Summary in microseconds.
    pub fn summary_us(&mut self) -> Value {
        self.0.sort_unstable();
        let at = |q: f64| -> f64 {
            match self.0.len() {
                0 => 0.0,
                n => self.0[((n as f64 * q).ceil() as usize).clamp(1, n) - 1] as f64 / 1e3,
            }
        };
        let mean = self.0.iter().sum::<u64>() as f64 / self.0.len().max(1) as f64 / 1e3;
        json!({"n": self.0.len(), "mean": mean, "p50": at(0.5), "p90": at(0.9),
               "p99": at(0.99), "p999": at(0.999), "p9999": at(0.9999), "max": at(1.0)})
    }
}
