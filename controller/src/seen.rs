//! What a look at the world found: there, not there, or not known.

use serde::Serialize;

/// The result of looking at one thing outside the controller.
///
/// Invariant 7: [`Seen::Unknown`] (an error, a partial list, a stale cache) is never [`Seen::Absent`]. Nothing is
/// created or deleted on `Unknown`; it is a reason to look again. That is why this is not an `Option`: a failed read
/// that became `None` would read as "it is gone".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Seen<T> {
    /// The world was asked, and said that there is no such thing.
    Absent,
    /// The thing, as it was when it was looked at.
    Present(T),
    /// It could not be found out; the sentence says why.
    Unknown(String),
}

impl<T> Seen<T> {
    /// The thing, when it is there; `None` says nothing about whether it is absent.
    pub fn present(&self) -> Option<&T> {
        match self {
            Seen::Present(thing) => Some(thing),
            Seen::Absent | Seen::Unknown(_) => None,
        }
    }

    /// As [`Seen::present`], by value.
    pub fn into_present(self) -> Option<T> {
        match self {
            Seen::Present(thing) => Some(thing),
            Seen::Absent | Seen::Unknown(_) => None,
        }
    }

    /// Whether the world said that there is no such thing. False for `Unknown`.
    pub fn is_absent(&self) -> bool {
        matches!(self, Seen::Absent)
    }

    /// Whether it could not be looked at.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Whether the thing was there.
    pub fn is_present(&self) -> bool {
        matches!(self, Seen::Present(_))
    }

    /// Why it is not known, where it is not.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Seen::Unknown(why) => Some(why),
            Seen::Absent | Seen::Present(_) => None,
        }
    }

    /// Changes the thing, and keeps absence and ignorance as they are.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Seen::Absent => Seen::Absent,
            Seen::Present(thing) => Seen::Present(change(thing)),
            Seen::Unknown(why) => Seen::Unknown(why),
        }
    }

    /// Looks further from the thing; absence and ignorance end the look.
    pub fn and_then<U>(self, look: impl FnOnce(T) -> Seen<U>) -> Seen<U> {
        match self {
            Seen::Absent => Seen::Absent,
            Seen::Present(thing) => look(thing),
            Seen::Unknown(why) => Seen::Unknown(why),
        }
    }

    /// Borrows what was seen.
    pub fn as_ref(&self) -> Seen<&T> {
        match self {
            Seen::Absent => Seen::Absent,
            Seen::Present(thing) => Seen::Present(thing),
            Seen::Unknown(why) => Seen::Unknown(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn ignorance_is_never_absence() {
        let unknown: Seen<u8> = Seen::Unknown("the list was partial".to_owned());
        assert!(!unknown.is_absent());
        assert_eq!(unknown.present(), None);
        assert_eq!(unknown.unknown(), Some("the list was partial"));
        assert_eq!(unknown.clone().map(u16::from), Seen::Unknown("the list was partial".to_owned()));
        assert!(!unknown.and_then(|_| Seen::<u8>::Absent).is_absent());
    }

    #[test]
    fn a_look_that_goes_further_keeps_what_it_found() {
        assert_eq!(Seen::Present(2).and_then(|n| Seen::Present(n + 1)), Seen::Present(3));
        assert!(Seen::Present(2).and_then(|_| Seen::<u8>::Absent).is_absent());
        assert!(Seen::<u8>::Absent.map(|n| n + 1).is_absent());
        assert_eq!(Seen::Present(2).as_ref(), Seen::Present(&2));
    }
}
