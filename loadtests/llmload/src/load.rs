//! Load generator. Prints `{"ev":"begin"}` and `{"ev":"end"}` around the measured window
//! (so that a harness can sample CPU time there), then one JSON result line.
use crate::http::{invalid, mono_ns, Conn};
use crate::stats::Samples;
use bytes::Buf;
use serde_json::{json, Value};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

#[derive(clap::ValueEnum, Clone, Copy, PartialEq)]
enum Mode {
    /// C connections, each sends its next request when the last one is answered.
    Closed,
    /// R requests per second whatever the answers do.
    Open,
    /// K concurrent paced SSE streams.
    Stream,
}

#[derive(clap::Args, Clone)]
pub struct Args {
    #[arg(value_enum)]
    mode: Mode,
    /// Host and port of the target, e.g. 127.0.0.1:18200
    #[arg(long)]
    target: String,
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// Connections (closed, open: upper bound) or concurrent streams.
    #[arg(short, long, default_value_t = 1)]
    concurrency: usize,
    /// Requests per second (open loop).
    #[arg(short, long, default_value_t = 100.0)]
    rate: f64,
    /// Measured seconds.
    #[arg(short, long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before the measured window.
    #[arg(short, long, default_value_t = 0.5)]
    warmup: f64,
    /// Extra header "name: value"; {session} becomes a session number.
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
    /// Number of distinct {session} values.
    #[arg(long, default_value_t = 500)]
    sessions: u64,
    #[arg(long, default_value = "mock")]
    model: String,
    /// User prompt length in bytes.
    #[arg(long, default_value_t = 256)]
    prompt_bytes: usize,
    /// Non-stream upstream delay (ms).
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Output tokens asked for in closed and open loop (streams ask for one per frame).
    #[arg(long, default_value_t = 64)]
    max_tokens: u64,
    #[arg(long, default_value_t = 64)]
    frames: u64,
    #[arg(long, default_value_t = 20)]
    pace: u64,
    #[arg(long, default_value_t = 20)]
    first: u64,
}

#[derive(Default)]
struct Totals {
    latency: Samples,
    ttft: Samples,
    /// First frame: client-to-mock plus mock-to-client time, the mock's own wait removed.
    ttft_path: Samples,
    gap: Samples,
    /// Mock write to client read, every frame.
    transit: Samples,
    done: u64,
    frames: u64,
    bytes: u64,
    late: u64,
    errors: u64,
    last_error: String,
}

struct Shared {
    args: Args,
    begin: u64,
    end: u64,
    next: Cell<u64>,
    /// Requests written so far: makes every prompt another one.
    serial: Cell<u64>,
    totals: RefCell<Totals>,
}

impl Shared {
    fn inside(&self, at: u64) -> bool {
        at >= self.begin && at < self.end
    }

    fn ticket(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// The whole request as bytes. Every prompt is another one, so that no cache of whole prompts can help.
    fn request(&self, out: &mut Vec<u8>, session: u64, frames: u64) {
        use std::io::Write;
        let a = &self.args;
        let serial = self.serial.replace(self.serial.get() + 1);
        let (mut prompt, tokens) = match a.mode {
            Mode::Stream => (format!("[[frames={frames},pace={},first={}]] Note {serial}. ", a.pace, a.first), frames),
            _ => (format!("[[delay={}]] Note {serial}. ", a.delay), a.max_tokens),
        };
        while prompt.len() < a.prompt_bytes {
            prompt.push_str("Tell me one more short fact about rivers. ");
        }
        prompt.truncate(a.prompt_bytes.max(64));
        let body = format!(
            "{{\"model\":\"{}\",\"messages\":[{{\"role\":\"system\",\"content\":\"You are terse.\"}},\
             {{\"role\":\"user\",\"content\":\"{prompt}\"}}],\"max_tokens\":{tokens},\"stream\":{}}}",
            a.model,
            a.mode == Mode::Stream
        );
        out.clear();
        let _ = write!(
            out,
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\ncontent-length: {}\r\n",
            a.path,
            a.target,
            body.len()
        );
        let session = (session % a.sessions.max(1)).to_string();
        for header in &a.headers {
            let _ = write!(out, "{}\r\n", header.replace("{session}", &session));
        }
        let _ = write!(out, "\r\n{body}");
    }

    async fn failed(&self, error: io::Error) {
        if self.inside(mono_ns()) {
            let mut t = self.totals.borrow_mut();
            t.errors += 1;
            t.last_error = error.to_string();
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn connect(conn: &mut Option<Conn>, target: &str) -> io::Result<()> {
    if conn.as_ref().is_none_or(|c| !c.keep_alive) {
        *conn = Some(Conn::new(TcpStream::connect(target).await?)?);
    }
    Ok(())
}

fn check_status(status: u16) -> io::Result<()> {
    if status == 200 { Ok(()) } else { Err(invalid(&format!("HTTP status {status}"))) }
}

async fn one_call(conn: &mut Option<Conn>, shared: &Shared, request: &[u8]) -> io::Result<()> {
    connect(conn, &shared.args.target).await?;
    let c = conn.as_mut().ok_or_else(|| invalid("no connection"))?;
    c.sock.write_all(request).await?;
    let status = c.response_head().await?;
    while !c.next_body().await? {}
    if status == 200 {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&c.body[..c.body.len().min(300)]).into_owned();
    Err(invalid(&format!("HTTP status {status}: {said}")))
}

/// Closed and open loop: one connection's life.
async fn caller(shared: Rc<Shared>) {
    let mut conn = None;
    let mut request = Vec::with_capacity(2048);
    let begin_all = shared.begin - (shared.args.warmup * 1e9) as u64;
    loop {
        let ticket = shared.ticket();
        shared.request(&mut request, ticket, 0);
        let mut from = mono_ns();
        if shared.args.mode == Mode::Open {
            // A call that waited for a free connection counts from its scheduled time.
            let due = begin_all + (ticket as f64 * 1e9 / shared.args.rate) as u64;
            if due > from {
                sleep(Duration::from_nanos(due - from)).await;
                from = mono_ns();
            } else {
                from = due;
            }
        }
        match one_call(&mut conn, &shared, &request).await {
            Ok(()) => {
                let now = mono_ns();
                if shared.inside(now) {
                    let mut t = shared.totals.borrow_mut();
                    t.latency.push(now - from);
                    t.done += 1;
                }
            }
            Err(error) => {
                conn = None;
                shared.failed(error).await;
            }
        }
    }
}

/// What happened to one stream slot inside the measured window.
#[derive(Default)]
struct Slot {
    frames: u64,
    stalls: u64,
    errors: u64,
    /// Since when the slot has been waiting for its next frame, and how long it may.
    waiting: Option<(u64, u64)>,
}

fn mark(line: &[u8], sign: u8) -> Option<u64> {
    let at = memchr::memchr(sign, line)?;
    std::str::from_utf8(line.get(at + 1..at + 17)?).ok()?.parse().ok()
}

struct Timing {
    stall: u64,
    first: u64,
}

async fn one_stream(
    conn: &mut Option<Conn>,
    shared: &Shared,
    request: &[u8],
    slot: &RefCell<Slot>,
    timing: &Timing,
    expected: u64,
) -> io::Result<()> {
    connect(conn, &shared.args.target).await?;
    let c = conn.as_mut().ok_or_else(|| invalid("no connection"))?;
    let sent = mono_ns();
    slot.borrow_mut().waiting = Some((sent, timing.first + timing.stall));
    c.sock.write_all(request).await?;
    check_status(c.response_head().await?)?;
    let (mut last, mut frames, mut finished) = (0u64, 0u64, false);
    loop {
        let complete = c.next_body().await?;
        let now = mono_ns();
        let inside = shared.inside(now);
        let mut totals = shared.totals.borrow_mut();
        while let Some(end) = memchr::memchr(b'\n', &c.body) {
            let line = &c.body[..end];
            if line.starts_with(b"data:") {
                if let Some(written) = mark(line, b'@') {
                    // One event may bring several tokens: each has its own stamp and counts as a frame.
                    let tokens: Vec<u64> =
                        memchr::memchr_iter(b'@', line).filter_map(|at| mark(&line[at..], b'@')).collect();
                    frames += tokens.len() as u64;
                    let mut s = slot.borrow_mut();
                    if inside {
                        s.frames += tokens.len() as u64;
                        totals.frames += tokens.len() as u64;
                        for token in &tokens {
                            totals.transit.push(now.saturating_sub(*token));
                        }
                        if last == 0 {
                            totals.ttft.push(now - sent);
                            let received = mark(line, b'^').unwrap_or(written);
                            let path = received.saturating_sub(sent) + now.saturating_sub(written);
                            totals.ttft_path.push(path);
                            s.stalls += u64::from(now - sent > timing.first + timing.stall);
                        } else {
                            totals.gap.push(now - last);
                            s.stalls += u64::from(now - last > timing.stall);
                        }
                    }
                    s.waiting = Some((now, timing.stall));
                    last = now;
                } else if memchr::memmem::find(line, b"[DONE]").is_some() {
                    finished = true;
                }
            }
            totals.bytes += u64::from(inside) * (end as u64 + 1);
            c.body.advance(end + 1);
        }
        if complete {
            break;
        }
    }
    slot.borrow_mut().waiting = None;
    if !finished || frames != expected {
        return Err(invalid(&format!("stream ended after {frames} of {expected} frames, done={finished}")));
    }
    if shared.inside(mono_ns()) {
        shared.totals.borrow_mut().done += 1;
    }
    Ok(())
}

async fn streamer(shared: Rc<Shared>, index: u64, slot: Rc<RefCell<Slot>>) {
    let a = &shared.args;
    let slots = a.concurrency as u64;
    let timing = Timing { stall: (3 * a.pace).max(100) * 1_000_000, first: a.first * 1_000_000 };
    let mut conn = None;
    let mut request = Vec::with_capacity(2048);
    // Ramp over 60 % of the warm-up; shorter first streams spread the later restarts evenly.
    let mut frames = 1 + index * a.frames / slots;
    sleep(Duration::from_secs_f64(a.warmup * 0.6 * index as f64 / slots as f64)).await;
    loop {
        shared.request(&mut request, index, frames);
        if let Err(error) = one_stream(&mut conn, &shared, &request, &slot, &timing, frames).await {
            conn = None;
            if shared.inside(mono_ns()) {
                slot.borrow_mut().errors += 1;
            }
            shared.failed(error).await;
        }
        frames = a.frames;
    }
}

async fn sleep_to(at: u64) {
    sleep(Duration::from_nanos(at.saturating_sub(mono_ns()))).await;
}

pub async fn run(args: Args) -> io::Result<()> {
    let begin = mono_ns() + (args.warmup * 1e9) as u64;
    let end = begin + (args.seconds * 1e9) as u64;
    let shared = Rc::new(Shared { args: args.clone(), begin, end, next: Cell::new(0), serial: Cell::new(0), totals: Default::default() });
    let mut slots = Vec::new();
    for index in 0..args.concurrency {
        if args.mode == Mode::Stream {
            let slot = Rc::new(RefCell::new(Slot::default()));
            slots.push(slot.clone());
            tokio::task::spawn_local(streamer(shared.clone(), index as u64, slot));
        } else {
            tokio::task::spawn_local(caller(shared.clone()));
        }
    }
    sleep_to(begin).await;
    println!("{}", json!({"ev": "begin"}));
    sleep_to(end).await;
    println!("{}", json!({"ev": "end"}));

    let mut t = shared.totals.borrow_mut();
    let mut result = json!({
        "seconds": args.seconds, "concurrency": args.concurrency, "requests": t.done,
        "rps": t.done as f64 / args.seconds, "errors": t.errors, "last_error": t.last_error,
    });
    if args.mode == Mode::Stream {
        let hung = |s: &Slot| s.waiting.is_some_and(|(since, limit)| end.saturating_sub(since) > limit);
        let held = slots.iter().filter(|s| {
            let s = s.borrow();
            s.frames > 0 && s.stalls == 0 && s.errors == 0 && !hung(&s)
        });
        t.late = slots.iter().map(|s| s.borrow().stalls + u64::from(hung(&s.borrow()))).sum();
        result["held"] = json!(held.count());
        result["stalls"] = json!(t.late);
        result["frames"] = json!(t.frames);
        result["frames_per_s"] = json!(t.frames as f64 / args.seconds);
        result["bytes"] = json!(t.bytes);
        let summaries: [(&str, Value); 4] = [
            ("ttft_us", t.ttft.summary_us()),
            ("ttft_path_us", t.ttft_path.summary_us()),
            ("gap_us", t.gap.summary_us()),
            ("transit_us", t.transit.summary_us()),
        ];
        for (key, value) in summaries {
            result[key] = value;
        }
    } else if t.latency.len() > 0 {
        result["latency_us"] = t.latency.summary_us();
    }
    println!("{result}");
    std::process::exit(0)
}
