//! One question, its progress and its one answer.

use std::path::Path;
use std::time::Duration;

use super::fault::Fault;
use super::process::{self, End, Errand, Listener, shown};
use super::protocol::{Message, ProgressReport, Request};

/// What may be done besides waiting for an answer.
pub(super) struct Question<'a> {
    pub(super) request: &'a Request,
    pub(super) time: Duration,
    /// How long it may take to stop; `None` where it must not be stopped.
    pub(super) stop: Option<Duration>,
    pub(super) on_progress: &'a mut dyn FnMut(ProgressReport),
    pub(super) stop_wanted: &'a dyn Fn() -> bool,
}

/// Asks the program, which is trusted already, and returns its answer: never progress, an error or "unsupported".
pub(super) fn ask(program: &Path, name: &str, question: Question<'_>) -> Result<Message, Fault> {
    let Question { request, time, stop, on_progress, stop_wanted } = question;
    let mut hearing = Hearing { answer: None, on_progress, stop_wanted };
    let mut last_words = None;
    let mut arguments = vec![request.word()];
    arguments.extend(request.subject());
    let errand = Errand {
        program,
        name,
        arguments,
        input: request.line(),
        time,
        stop: stop.map(|grace| (grace, (Request::Cancel {}).line())),
    };
    let outcome = process::run(&errand, &mut hearing, &mut last_words)
        .and_then(|end| judge(request, hearing.answer, &end));
    outcome.inspect_err(|fault| {
        if let (Some(words), false) = (&last_words, matches!(fault, Fault::Unsupported)) {
            tracing::warn!("{name}: {fault}; the last line of its standard error: {words}");
        }
    })
}

fn judge(request: &Request, answer: Option<Message>, end: &End) -> Result<Message, Fault> {
    match answer {
        Some(Message::Error(_)) | None if end.stop_asked => Err(Fault::Stopped),
        Some(Message::Error(failure)) => {
            Err(Fault::Said { details: failure.details, retry: failure.retry, touched: failure.touched })
        }
        // What it said before it failed counts for nothing.
        _ if !end.status.success() => Err(Fault::Ended(end.status)),
        _ if end.half_line => Err(Fault::HalfLine),
        None => Err(Fault::NoAnswer),
        Some(Message::Unsupported {}) => Err(Fault::Unsupported),
        Some(answer) if answers(request, &answer) => Ok(answer),
        Some(answer) => Err(Fault::Answer { request: request.word(), answer: answer.word() }),
    }
}

/// Whether the answer is one to this request.
fn answers(request: &Request, answer: &Message) -> bool {
    matches!(
        (request, answer),
        (Request::Describe {}, Message::Description(_))
            | (Request::Evaluate {}, Message::Support { .. })
            | (Request::Initialize {}, Message::Initialized {})
            | (Request::Inventory { .. }, Message::Inventory { .. })
            | (Request::FilterDevice { .. }, Message::Devices { .. })
            | (Request::Steps { .. }, Message::Steps { .. })
            | (Request::PlanStep { .. }, Message::Plan { .. })
            | (Request::RunStep { .. }, Message::Result { .. })
    )
}

struct Hearing<'a> {
    answer: Option<Message>,
    on_progress: &'a mut dyn FnMut(ProgressReport),
    stop_wanted: &'a dyn Fn() -> bool,
}

impl Listener for Hearing<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let garbage = |problem: String| Fault::Garbage { problem, shown: shown(line) };
        // The parser would take a list with the word as its first item as well.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(garbage("a JSON object is expected".to_owned()));
        }
        let message: Message = serde_json::from_slice(line).map_err(|error| garbage(error.to_string()))?;
        if self.answer.is_some() {
            return Err(Fault::SecondAnswer);
        }
        match message {
            Message::Progress(progress) => (self.on_progress)(progress),
            answer => self.answer = Some(answer),
        }
        Ok(())
    }

    fn stop_wanted(&self) -> bool {
        (self.stop_wanted)()
    }
}
