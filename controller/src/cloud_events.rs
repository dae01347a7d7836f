//! What the cloud tells of itself: CloudEvents from Eventarc, and log entries that a Logging sink sends through Pub/Sub.
//!
//! An event is only a hint. Losing, repeating, delaying or forging one changes when we look, never what we do: so
//! whatever cannot be read is counted and forgotten, and a flood is dropped, since the next sweep sees the same anyway.

mod decode;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use tracing::debug;

use crate::clock::SharedClock;
use crate::metrics::Metrics;

pub use decode::Unreadable;

/// Events that are read within any [`WINDOW`].
const EVENTS_MAX: usize = 50;
/// The time that [`EVENTS_MAX`] counts for.
const WINDOW: Duration = Duration::from_secs(1);
/// The lengths that a token may have.
const TOKEN_LENGTHS: std::ops::RangeInclusive<usize> = 16..=512;

/// The kind of object that an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A virtual machine.
    Instance,
    /// A disk.
    Disk,
}

/// Where to look, because something may have happened there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint {
    /// The project, as the event names it.
    pub project: String,
    /// The zone, where the event names one.
    pub zone: Option<String>,
    /// The object, where the event names one.
    pub resource: Option<(Kind, String)>,
}

/// What a sender of events has to show. Only its digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too short to be a secret, or longer than a header should be.
    #[error("a token has 16 to 512 characters")]
    Length,
    /// It could not stand in a header or a URL as it is.
    #[error("a token is made of letters, digits, and any of - . _ ~")]
    Character,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token that `text` is.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        if !TOKEN_LENGTHS.contains(&text.len()) {
            return Err(TokenError::Length);
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            return Err(TokenError::Character);
        }
        Ok(Self(Sha256::digest(text).into()))
    }

    /// Whether `shown` is this token. What is compared are digests, to their ends: how long it takes tells nothing.
    fn is(&self, shown: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        let differing = self.0.iter().zip(shown).fold(0, |differing, (ours, theirs)| differing | (ours ^ theirs));
        std::hint::black_box(differing) == 0
    }
}

/// Takes events in, and says where to look.
pub struct Events {
    token: Token,
    clock: SharedClock,
    metrics: Metrics,
    /// When the last events were read, at most [`EVENTS_MAX`] of them.
    recent: Mutex<VecDeque<Duration>>,
    on_hint: Box<dyn Fn(Hint) -> Uptake + Send + Sync>,
}

/// What became of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uptake {
    /// It is looked there soon.
    Taken,
    /// This replica does not operate, and cannot tell the one that does: the sender is to try again, and may meet that one.
    NotOperating,
}

impl Events {
    /// Takes in what comes with `token`, and calls `on_hint` with each hint in it. The callback must not block; it says whether
    /// anybody here looks.
    pub fn new(
        token: Token,
        clock: SharedClock,
        metrics: Metrics,
        on_hint: impl Fn(Hint) -> Uptake + Send + Sync + 'static,
    ) -> Self {
        Self { token, clock, metrics, recent: Mutex::default(), on_hint: Box::new(on_hint) }
    }

    /// Takes one request in, see [`Events::admit`] and [`Events::read`].
    pub fn receive(&self, headers: &HeaderMap, query: Option<&str>, body: &[u8]) -> StatusCode {
        match self.admit(headers, query) {
            Ok(()) => self.read(headers, body),
            Err(answer) => answer,
        }
    }

    /// Whether a request is to be read at all, by what comes before its body; if not, what it is answered.
    ///
    /// The token comes as `Authorization: Bearer …` or as `?token=…`: a Pub/Sub push subscription sets that header
    /// itself, and can only be given a URL.
    pub fn admit(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), StatusCode> {
        if !self.is_allowed(headers, query) {
            self.metrics.hinted("unauthorized");
            return Err(StatusCode::UNAUTHORIZED);
        }
        if !self.has_room() {
            self.metrics.hinted("dropped");
            return Err(StatusCode::NO_CONTENT);
        }
        Ok(())
    }

    /// Reads a request that was admitted. The answer is `204` whatever the request says: a sender that heard of an error would
    /// send the same again. That is wanted only where nobody here looks: then it is `503`.
    pub fn read(&self, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        let (fate, answer) = match decode::hints(headers, body) {
            Ok(hints) if hints.is_empty() => ("irrelevant", StatusCode::NO_CONTENT),
            Ok(hints) => {
                let taken = hints.into_iter().all(|hint| (self.on_hint)(hint) == Uptake::Taken);
                if taken { ("taken", StatusCode::NO_CONTENT) } else { ("sent_back", StatusCode::SERVICE_UNAVAILABLE) }
            }
            Err(error) => {
                debug!(%error, "an event that cannot be read");
                ("unreadable", StatusCode::NO_CONTENT)
            }
        };
        self.metrics.hinted(fate);
        answer
    }

    fn is_allowed(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let in_query = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("token=")));
        [bearer, in_query].into_iter().flatten().any(|shown| self.token.is(shown))
    }

    /// Whether one more event may be read now; if so, it is counted.
    fn has_room(&self) -> bool {
        let now = self.clock.monotonic();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|then| now.saturating_sub(*then) >= WINDOW) {
            recent.pop_front();
        }
        let room = recent.len() < EVENTS_MAX;
        if room {
            recent.push_back(now);
        }
        room
    }
}

#[cfg(test)]
mod tests;
