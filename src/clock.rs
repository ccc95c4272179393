//! Time as a value that is handed in.
//!
//! The engine decides by Redis' clock (read inside the script); this clock serves everything outside it: tokens, SQL rows, display.
//! Both move together by the same sandbox offset, so that a tester can let a day pass without waiting.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(i64);

impl UnixMs {
    /// That many milliseconds since 1970.
    #[must_use]
    pub const fn new(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The time `seconds` later (earlier when negative); stays at the end of the range.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// RFC 3339 in UTC with milliseconds where there are any; what the calendar cannot say becomes 1970.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let nanos = i128::from(self.0) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default()
    }

    /// Reads RFC 3339; `None` if it is not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }
}

/// `#[serde(with = "clock::rfc3339")]`: a [`UnixMs`] as RFC 3339 text in JSON.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::UnixMs;

    /// Writes the time as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &UnixMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.rfc3339())
    }

    /// Reads the time from text.
    ///
    /// # Errors
    /// When the text is no RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMs, D::Error> {
        let text = String::deserialize(deserializer)?;
        UnixMs::parse(&text).ok_or_else(|| D::Error::custom("expected a time such as 2026-11-22T08:00:00Z"))
    }

    /// The same for a time that may be absent (null).
    pub mod option {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};

        use super::super::UnixMs;

        /// Writes the time as text, or null.
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(at: &Option<UnixMs>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.serialize_str(&at.rfc3339()),
                None => serializer.serialize_none(),
            }
        }

        /// Reads the time from text, or null.
        ///
        /// # Errors
        /// When there is text that is no RFC 3339 time.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixMs>, D::Error> {
            Option::<String>::deserialize(deserializer)?
                .map(|text| UnixMs::parse(&text).ok_or_else(|| D::Error::custom("expected a time such as 2026-11-22T08:00:00Z")))
                .transpose()
        }
    }
}

/// The machine's clock plus the sandbox offset.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        UnixMs(self.unmoved().0.saturating_add(self.offset_ms()))
    }

    /// The machine's own clock, for what is not the campaigns' business.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn unmoved(&self) -> UnixMs {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }

    /// How far the sandbox has moved time, in milliseconds; 0 outside tests.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Moves time to `offset_ms` after the machine's clock. Never backwards: an earlier offset is ignored.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.fetch_max(offset_ms, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::UnixMs;

    #[test]
    fn times_read_back_what_they_write() {
        let at = UnixMs::new(1_795_305_600_123);
        assert_eq!(UnixMs::parse(&at.rfc3339()), Some(at));
        assert_eq!(UnixMs::parse("2026-11-22T08:00:00+08:00"), UnixMs::parse("2026-11-22T00:00:00Z"));
        assert_eq!(UnixMs::parse("yesterday"), None);
    }
}
