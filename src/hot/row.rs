//! Rows as hot state keeps them (`lua/lib/schema.lua`).

/// A packed row that is not one of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of hot state that cannot be read")]
pub struct NotARow;

/// A row of a table of hot state.
pub trait Row: Sized {
    /// Reads a packed row.
    ///
    /// # Errors
    /// When it is not a row of this table.
    fn read(packed: &[u8]) -> Result<Self, NotARow>;
}

/// Reads a row that is a `MessagePack` array.
///
/// # Errors
/// When it does not read.
pub fn message_pack<T: serde::de::DeserializeOwned>(packed: &[u8]) -> Result<T, NotARow> {
    rmp_serde::from_slice(packed).map_err(|_unreadable| NotARow)
}

/// What a number stands for in a list of words; Lua counts from 1.
///
/// # Errors
/// When it stands for none.
pub fn numbered<T: Copy>(words: &[T], number: i64) -> Result<T, NotARow> {
    let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    place.and_then(|place| words.get(place)).copied().ok_or(NotARow)
}

/// What Lua's `struct.pack` laid out, read off from its beginning: numbers big-endian, texts after one byte with their length.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a>(&'a [u8]);

impl<'a> Layout<'a> {
    /// The layout of a packed row.
    #[must_use]
    pub const fn of(packed: &'a [u8]) -> Self {
        Self(packed)
    }

    /// So many bytes as they are.
    ///
    /// # Errors
    /// When the row ends before.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], NotARow> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(NotARow)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number of so many bytes.
    ///
    /// # Errors
    /// When the row ends before, or the number passes `i64`.
    pub fn number(&mut self, count: usize) -> Result<i64, NotARow> {
        let mut number = 0_i64;
        for byte in self.bytes(count)? {
            number = number.checked_mul(256).and_then(|number| number.checked_add((*byte).into())).ok_or(NotARow)?;
        }
        Ok(number)
    }

    /// Up to 255 bytes after one byte with their number.
    ///
    /// # Errors
    /// When the row ends before.
    pub fn short(&mut self) -> Result<&'a [u8], NotARow> {
        let length = usize::try_from(self.number(1)?).map_err(|_negative| NotARow)?;
        self.bytes(length)
    }

    /// A text.
    ///
    /// # Errors
    /// When the row ends before, or this is no text.
    pub fn text(&mut self) -> Result<String, NotARow> {
        Ok(str::from_utf8(self.short()?).map_err(|_no_text| NotARow)?.to_owned())
    }

    /// A text of up to 127 bytes whose length comes with a mark: whether the first byte is above 127, and the text.
    ///
    /// # Errors
    /// When the row ends before, or this is no text.
    pub fn marked(&mut self) -> Result<(bool, String), NotARow> {
        let mark = self.number(1)?;
        let length = usize::try_from(mark & 127).map_err(|_negative| NotARow)?;
        let text = str::from_utf8(self.bytes(length)?).map_err(|_no_text| NotARow)?;
        Ok((mark > 127, text.to_owned()))
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The row ends here.
    ///
    /// # Errors
    /// When it does not.
    pub const fn end(&self) -> Result<(), NotARow> {
        if self.0.is_empty() { Ok(()) } else { Err(NotARow) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, NotARow};

    #[test]
    fn numbers_and_texts_are_read_off_to_the_end() {
        let mut row = Layout::of(b"\x07\x00\x01\x02\x04abcd\xff");
        assert_eq!((row.number(1), row.number(3), row.text()), (Ok(7), Ok(258), Ok("abcd".to_owned())));
        assert_eq!((row.rest(), row.end()), (b"\xff".as_slice(), Err(NotARow)));
        assert_eq!((row.number(1), row.end()), (Ok(255), Ok(())));
        let mut row = Layout::of(b"\x02ab\x83abc\x81");
        assert_eq!((row.marked(), row.marked(), row.marked()), (Ok((false, "ab".into())), Ok((true, "abc".into())), Err(NotARow)));
    }

    #[test]
    fn what_is_cut_short_or_no_text_is_no_row() {
        assert_eq!(Layout::of(b"\x01\x02").number(3), Err(NotARow));
        assert_eq!(Layout::of(b"\x05abcd").text(), Err(NotARow));
        assert_eq!(Layout::of(b"\x01\xff").text(), Err(NotARow));
        assert_eq!(Layout::of(b"").text(), Err(NotARow));
        assert_eq!(Layout::of(&[255; 8]).number(8), Err(NotARow));
    }
}
