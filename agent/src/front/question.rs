//! Consent, by somebody who reads.

use std::io::{self, BufRead, IsTerminal, Write};

/// Why there is no consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoConsent {
    /// Nobody is there to be asked.
    NotAsked,
    Declined,
}

/// Asks on the terminal; the answer has to be the whole word.
///
/// # Errors
///
/// [`NoConsent`], also when the question cannot be put.
pub(super) fn ask(question: &str) -> Result<(), NoConsent> {
    if !io::stdin().is_terminal() {
        return Err(NoConsent::NotAsked);
    }
    let mut screen = io::stderr();
    let asked = write!(screen, "{question} Type yes to go on: ").and_then(|()| screen.flush());
    let mut answer = String::new();
    let answered = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
    match answered {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        Ok(_) => Err(NoConsent::Declined),
        Err(_) => Err(NoConsent::NotAsked),
    }
}
