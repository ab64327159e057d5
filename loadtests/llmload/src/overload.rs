//! Open loop through phases of different rates: every request leaves at its time, whatever became of the others.
//! A caller has a deadline, and hangs up at it. Several keys share the rate by weight.
use crate::http::{invalid, mono_ns, Conn};
use crate::stats::Samples;
use serde_json::{json, Value};
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const KEPT_NS: u64 = 2_000_000_000;

#[derive(clap::Args, Clone)]
pub struct Args {
    /// Host and port of each target; requests take turns.
    #[arg(long = "target", required = true)]
    targets: Vec<String>,
    /// Phases, "requests per second:seconds", one after another.
    #[arg(long = "phase", required = true)]
    phases: Vec<String>,
    /// Callers, "weight:api key".
    #[arg(long = "key", required = true)]
    keys: Vec<String>,
    #[arg(long, default_value = "mock")]
    model: String,
    #[arg(long, default_value_t = 8)]
    max_tokens: u64,
    #[arg(long, default_value_t = 256)]
    prompt_bytes: usize,
    /// How long a caller waits for the end of its answer.
    #[arg(long, default_value_t = 5.0)]
    deadline: f64,
    /// Seconds of one entry of the timeline.
    #[arg(long, default_value_t = 0.5)]
    slot: f64,
}

/// What became of the requests that left in one stretch of time, or of one caller's.
#[derive(Default)]
struct Tally {
    sent: u64,
    answered: u64,
    refused: u64,
    gave_up: u64,
    other: u64,
    latency: Samples,
    refusal: Samples,
    /// Of refusals, from when the request left.
    refusal_sent: Samples,
    /// Of refusals: how late the request left, which is the generator's own part.
    lag: Samples,
    retry_after_ms: Samples,
}

impl Tally {
    fn value(&mut self) -> Value {
        json!({
            "sent": self.sent, "answered": self.answered, "refused": self.refused, "gave_up": self.gave_up,
            "other": self.other,
            "latency_us": self.latency.summary_us(), "refusal_us": self.refusal.summary_us(),
            "refusal_from_sent_us": self.refusal_sent.summary_us(),
            "refusal_generator_lag_us": self.lag.summary_us(), "retry_after_us": self.retry_after_ms.summary_us(),
        })
    }
}

struct Phase {
    rate: f64,
    begin: u64,
    end: u64,
}

struct Shared {
    args: Args,
    keys: Vec<(f64, String)>,
    idle: Vec<RefCell<Vec<(Conn, u64)>>>,
    phases: Vec<Phase>,
    by_phase: RefCell<Vec<Tally>>,
    by_key: RefCell<Vec<Vec<Tally>>>,
    slots: RefCell<Vec<Tally>>,
    /// Answers in time that ended in each phase, whenever they began.
    ended: RefCell<Vec<u64>>,
    last_other: RefCell<String>,
}

enum End {
    Answered,
    Refused(u64),
    GaveUp,
    Other(String),
}

fn pair<'a>(text: &'a str) -> io::Result<(f64, &'a str)> {
    let (left, right) = text.split_once(':').ok_or_else(|| invalid("two parts with a colon"))?;
    Ok((left.parse().map_err(|_| invalid("a number before the colon"))?, right))
}

fn request(shared: &Shared, serial: u64, key: &str, target: &str) -> Vec<u8> {
    let mut prompt = format!("Note {serial}. ");
    while prompt.len() < shared.args.prompt_bytes {
        prompt.push_str("Tell me one more short fact about rivers. ");
    }
    prompt.truncate(shared.args.prompt_bytes.max(32));
    let body = format!(
        "{{\"model\":\"{}\",\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}],\
         \"max_tokens\":{},\"ignore_eos\":true}}",
        shared.args.model, shared.args.max_tokens
    );
    let mut out = Vec::with_capacity(body.len() + 256);
    let _ = write!(
        out,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    out
}

async fn exchange(shared: &Shared, at: usize, bytes: &[u8]) -> io::Result<End> {
    // One that has rested for long may be closed by the target just now.
    let kept = shared.idle[at].borrow_mut().pop().filter(|(_, since)| mono_ns() - since < KEPT_NS);
    let mut conn = match kept {
        Some((conn, _)) => conn,
        None => Conn::new(TcpStream::connect(&shared.args.targets[at]).await?)?,
    };
    conn.sock.write_all(bytes).await?;
    let status = conn.response_head().await?;
    while !conn.next_body().await? {}
    let end = match status {
        200 => End::Answered,
        429 => End::Refused(conn.retry_after_ms),
        _ => End::Other(format!("{status} {}", String::from_utf8_lossy(&conn.body[..conn.body.len().min(200)]))),
    };
    if conn.keep_alive {
        shared.idle[at].borrow_mut().push((conn, mono_ns()));
    }
    Ok(end)
}

async fn one(shared: Rc<Shared>, serial: u64, due: u64, phase: usize, key: usize) {
    let at = serial as usize % shared.args.targets.len();
    let bytes = request(&shared, serial, &shared.keys[key].1, &shared.args.targets[at]);
    let left_at = mono_ns();
    let patience = Duration::from_secs_f64(shared.args.deadline);
    let end = match timeout(patience, exchange(&shared, at, &bytes)).await {
        Err(_) => End::GaveUp,
        Ok(Err(error)) => End::Other(error.to_string()),
        Ok(Ok(end)) => end,
    };
    // From when it was due: a generator that is late does not make the target look quick.
    let over = mono_ns();
    let (took, lag) = (over - due, left_at.saturating_sub(due));
    let in_time = took as f64 <= shared.args.deadline * 1e9;
    if in_time && matches!(end, End::Answered) {
        if let Some(index) = shared.phases.iter().position(|p| over >= p.begin && over < p.end) {
            shared.ended.borrow_mut()[index] += 1;
        }
    }
    let slot = ((due - shared.phases[0].begin) as f64 / 1e9 / shared.args.slot) as usize;
    let (mut phases, mut keys, mut slots) =
        (shared.by_phase.borrow_mut(), shared.by_key.borrow_mut(), shared.slots.borrow_mut());
    for tally in [&mut phases[phase], &mut keys[phase][key], &mut slots[slot]] {
        match &end {
            End::Answered if in_time => {
                tally.answered += 1;
                tally.latency.push(took);
            }
            End::Answered | End::GaveUp => tally.gave_up += 1,
            End::Refused(after) => {
                tally.refused += 1;
                tally.refusal.push(took);
                tally.refusal_sent.push(over - left_at);
                tally.lag.push(lag);
                tally.retry_after_ms.push(after * 1000);
            }
            End::Other(what) => {
                tally.other += 1;
                *shared.last_other.borrow_mut() = what.clone();
            }
        }
    }
}

/// Which key's turn it is: the one that is furthest behind its share.
fn next_key(keys: &[(f64, String)], given: &mut [f64]) -> usize {
    let key = (0..keys.len())
        .min_by(|a, b| ((given[*a] + 1.0) / keys[*a].0).total_cmp(&((given[*b] + 1.0) / keys[*b].0)))
        .unwrap_or(0);
    given[key] += 1.0;
    key
}

pub async fn run(args: Args) -> io::Result<()> {
    let start = mono_ns() + 200_000_000;
    let mut phases = Vec::new();
    let mut at = start;
    for text in &args.phases {
        let (rate, seconds) = pair(text)?;
        let seconds: f64 = seconds.parse().map_err(|_| invalid("seconds after the colon"))?;
        let end = at + (seconds * 1e9) as u64;
        phases.push(Phase { rate, begin: at, end });
        at = end;
    }
    let keys = args.keys.iter().map(|k| pair(k).map(|(w, s)| (w, s.to_owned()))).collect::<io::Result<Vec<_>>>()?;
    let tallies = |n: usize| (0..n).map(|_| Tally::default()).collect::<Vec<_>>();
    let slots = ((at - start) as f64 / 1e9 / args.slot).ceil() as usize + 1;
    let shared = Rc::new(Shared {
        idle: args.targets.iter().map(|_| RefCell::default()).collect(),
        by_phase: RefCell::new(tallies(phases.len())),
        by_key: RefCell::new(phases.iter().map(|_| tallies(keys.len())).collect()),
        slots: RefCell::new(tallies(slots)),
        ended: RefCell::new(vec![0; phases.len()]),
        last_other: RefCell::default(),
        args, keys, phases,
    });
    let (mut serial, mut given) = (0u64, vec![0.0; shared.keys.len()]);
    for (index, phase) in shared.phases.iter().enumerate() {
        println!("{}", json!({"ev": "phase", "phase": index}));
        let mut due = phase.begin;
        let first = serial;
        while due < phase.end {
            let now = mono_ns();
            if due > now {
                sleep(Duration::from_nanos(due - now)).await;
            }
            let key = next_key(&shared.keys, &mut given);
            let slot = ((due - start) as f64 / 1e9 / shared.args.slot) as usize;
            shared.by_phase.borrow_mut()[index].sent += 1;
            shared.by_key.borrow_mut()[index][key].sent += 1;
            shared.slots.borrow_mut()[slot].sent += 1;
            tokio::task::spawn_local(one(shared.clone(), serial, due, index, key));
            serial += 1;
            due = phase.begin + ((serial - first) as f64 * 1e9 / phase.rate) as u64;
        }
    }
    println!("{}", json!({"ev": "phase", "phase": shared.phases.len()}));
    sleep(Duration::from_secs_f64(shared.args.deadline + 0.2)).await;
    let seconds: Vec<f64> = shared.phases.iter().map(|p| (p.end - p.begin) as f64 / 1e9).collect();
    let by_phase: Vec<Value> = shared
        .by_phase
        .borrow_mut()
        .iter_mut()
        .zip(seconds.iter().zip(shared.ended.borrow().iter()))
        .map(|(tally, (seconds, ended))| {
            let mut value = tally.value();
            value["goodput_per_s"] = json!(*ended as f64 / seconds);
            value
        })
        .collect();
    let by_key: Vec<Vec<Value>> =
        shared.by_key.borrow_mut().iter_mut().map(|row| row.iter_mut().map(|t| t.value()).collect()).collect();
    let slot = shared.args.slot;
    let timeline: Vec<Value> = shared
        .slots
        .borrow_mut()
        .iter_mut()
        .map(|t| {
            json!([t.sent, t.answered, t.refused, t.gave_up, t.other, t.latency.summary_us()["p50"],
                   t.refusal.summary_us()["p50"], t.refusal.summary_us()["p99"]])
        })
        .collect();
    println!(
        "{}",
        json!({"phases": by_phase, "keys": by_key, "slot_seconds": slot, "timeline": timeline,
               "last_other": *shared.last_other.borrow()})
    );
    std::process::exit(0)
}
