//! Shelves: small rows of hot state that lie together in one field of a hash, for a field of its own would take four times as much memory
//! (`lua/lib/state.lua` lays them out and says how).

use super::row::{Layout, NotARow};

/// The tables with shelves, as `lua/lib/schema.lua` names them.
const SHELVED: [&str; 2] = ["users", "devices"];

/// Whether a table's rows lie on shelves.
#[must_use]
pub fn has_shelves(table: &str) -> bool {
    SHELVED.contains(&table)
}

/// The rows of a shelf, with their names.
///
/// # Errors
/// When it is none.
pub fn rows(shelf: &[u8]) -> Result<Vec<(String, Vec<u8>)>, NotARow> {
    let mut rest = Layout::of(shelf);
    let mut rows = Vec::new();
    while rest.end().is_err() {
        let length = rest.number(1)?.checked_sub(128).and_then(|length| length.try_into().ok()).ok_or(NotARow)?;
        let name = str::from_utf8(rest.bytes(length)?).map_err(|_no_text| NotARow)?;
        rows.push((name.to_owned(), rest.short()?.to_vec()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::{NotARow, rows};

    #[test]
    fn rows_are_read_off_to_the_end() {
        let row = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        assert_eq!(rows(b"\x82ab\x01\x07\x83abc\x00"), Ok(vec![row("ab", b"\x07"), row("abc", b"")]));
        assert_eq!(rows(b""), Ok(vec![]));
        for broken in [b"\x02ab\x01\x07".as_slice(), b"\x82ab\x02\x07", b"\x82ab", b"\x82a"] {
            assert_eq!(rows(broken), Err(NotARow));
        }
    }
}
