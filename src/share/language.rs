//! The two languages of the page.

/// A language the page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Chinese.
    Zh,
    /// English.
    En,
}

impl Language {
    /// The one asked for, else the best of `Accept-Language`, else Chinese.
    #[must_use]
    pub fn choose(asked: Option<Self>, accept_language: Option<&str>) -> Self {
        asked.or_else(|| accept_language.and_then(Self::best)).unwrap_or(Self::Zh)
    }

    /// The tag for `<html lang>`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Zh => "zh-CN",
            Self::En => "en",
        }
    }

    /// The word for `?lang=`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }

    /// Its name in itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zh => "中文",
            Self::En => "English",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Zh => Self::En,
            Self::En => Self::Zh,
        }
    }

    /// The one of two texts.
    #[must_use]
    pub const fn pick<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// The language of a tag such as `en-GB`, if it is one of ours.
    #[must_use]
    pub fn of(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        match primary.as_str() {
            "zh" => Some(Self::Zh),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The first of the highest weight; at most 20 ranges are looked at.
    fn best(accept: &str) -> Option<Self> {
        let mut best: Option<(u32, Self)> = None;
        for range in accept.split(',').take(20) {
            let mut parts = range.split(';');
            let Some(language) = parts.next().and_then(Self::of) else { continue };
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=").map(thousandths)).unwrap_or(1000);
            if weight > 0 && best.is_none_or(|(highest, _)| weight > highest) {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

/// A weight such as `0.8` in thousandths (no floats); what cannot be read is 0.
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole, digits.parse::<u32>()) {
        ("1", Ok(_)) => 1000,
        ("0", Ok(fraction)) => fraction,
        (_, Ok(_) | Err(_)) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::Language::{self, En, Zh};

    #[test]
    fn the_address_wins_then_the_header_then_chinese() {
        assert_eq!(Language::choose(Language::of("en"), Some("zh-CN")), En);
        assert_eq!(Language::choose(Language::of("xx"), Some("en-GB,zh;q=0.9")), En);
        assert_eq!(Language::choose(None, Some("fr, en;q=0.5, zh-TW;q=0.7")), Zh);
        assert_eq!(Language::choose(None, Some("fr;q=1, en;q=0.2")), En);
        assert_eq!(Language::choose(None, Some("en;q=0")), Zh);
        assert_eq!(Language::choose(None, Some("*")), Zh);
        assert_eq!(Language::choose(None, None), Zh);
    }
}
