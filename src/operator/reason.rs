//! Why an operator did something. It stays in the books, so it is words and not too many of them.

use crate::http::problem::Problem;

/// The longest reason, in characters.
const LONGEST: usize = 200;

/// A reason without the spaces around it.
///
/// # Errors
/// `invalid_request` naming `reason`, for one that is blank, too long, or has control characters.
pub fn reason(text: &str) -> Result<&str, Problem> {
    let fits = (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    match text.trim() {
        words if fits && !words.is_empty() => Ok(words),
        _ => Err(Problem::invalid("reason", format!("needs 1 to {LONGEST} visible characters"))),
    }
}
