//! The id of a request: in the header `X-Request-Id`, in problem bodies, in each line logged while it is at work.

use std::cell::Cell;
use std::fmt;

use actix_web::http::header::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

use crate::crypto::random_bytes;

/// The header that carries it.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// 16 hexadecimal digits, unlike any other request's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 16]);

tokio::task_local! {
    /// The id of the request at work.
    pub static REQUEST_ID: RequestId;
}

thread_local! {
    static LAST: Cell<u64> = Cell::new(u64::from_le_bytes(random_bytes()));
}

impl RequestId {
    /// A new one. It names and proves nothing, so a scrambled counter that begins at random does: no system call, no allocation.
    #[must_use]
    pub fn fresh() -> Self {
        let count = LAST.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        LAST.set(count);
        let mixed = scramble(count).to_be_bytes();
        let mut digits = [b'0'; 16];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(mixed) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        Self(digits)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As a header's value.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_never| HeaderValue::from_static(""))
    }
}

/// The id of the request at work; zeros outside one.
#[must_use]
pub fn request_id() -> RequestId {
    REQUEST_ID.try_with(|id| *id).unwrap_or(RequestId([b'0'; 16]))
}

/// The finalizer of `SplitMix64`: one to one, so a thread never makes the same id twice.
const fn scramble(count: u64) -> u64 {
    let mixed = (count ^ (count >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{REQUEST_ID, RequestId, request_id};

    #[test]
    fn ids_are_hexadecimal_and_differ() {
        let ids: BTreeSet<String> = (0..1000).map(|_| RequestId::fresh().to_string()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn inside_a_request_it_is_known_outside_it_is_zeros() {
        let id = RequestId::fresh();
        assert_eq!(REQUEST_ID.sync_scope(id, request_id), id);
        assert_eq!(request_id().as_str(), "0000000000000000");
    }
}
