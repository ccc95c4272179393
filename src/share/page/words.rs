//! The page's words in both languages: one table, `templates/share/words.json`, for the server and the script.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::LazyLock;

use crate::clock::UnixMs;
use crate::share::language::Language;

/// Each word by its key: Chinese, English. `{}` stands for what is filled in.
type Table = HashMap<&'static str, (&'static str, &'static str)>;

const TABLE: &str = include_str!("../../../templates/share/words.json");

static WORDS: LazyLock<Table> = LazyLock::new(|| serde_json::from_str(TABLE).unwrap_or_default());

/// The words of one language, as the script takes them.
#[must_use]
pub fn json(language: Language) -> String {
    let words: BTreeMap<&str, &str> = WORDS.iter().map(|(key, (zh, en))| (*key, language.pick(zh, en))).collect();
    serde_json::to_string(&words).unwrap_or_default()
}

/// The page's words in one language.
#[derive(Clone, Copy)]
pub struct Texts(pub Language);

impl Texts {
    /// The words of a key.
    #[must_use]
    pub fn say(self, key: &str) -> &'static str {
        WORDS.get(key).map(|(zh, en)| self.0.pick(zh, en)).unwrap_or_default()
    }

    /// The words of a key with each `{}` filled in, in order. `{cut|cuts}` is the first word after a 1, else the second.
    #[must_use]
    pub fn fill<V: Display>(self, key: &str, values: impl IntoIterator<Item = V>) -> String {
        let mut values = values.into_iter();
        let mut parts = self.say(key).split('{');
        let (mut filled, mut last) = (parts.next().unwrap_or_default().to_owned(), String::new());
        for (gap, rest) in parts.filter_map(|part| part.split_once('}')) {
            if let Some((one, many)) = gap.split_once('|') {
                filled.push_str(if last == "1" { one } else { many });
            } else {
                last = values.next().map(|value| value.to_string()).unwrap_or_default();
                filled.push_str(&last);
            }
            filled.push_str(rest);
        }
        filled
    }

    /// The word between days and hours, as the script shows it.
    #[must_use]
    pub const fn day(self) -> &'static str {
        self.0.pick("天 ", " d ")
    }

    /// The tag for `<html lang>`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        self.0.tag()
    }

    /// How long until `end`, in hours and minutes, and days where there are any; what is past is zero. The script adds the seconds.
    #[must_use]
    pub fn left(self, now: UnixMs, end: UnixMs) -> String {
        let minutes = end.get().saturating_sub(now.get()).max(0) / 60_000;
        let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
        match days {
            0 => format!("{hours:02}:{minutes:02}"),
            _ => format!("{days}{}{hours:02}:{minutes:02}", self.day()),
        }
    }

    /// A span of time for people: days, hours and minutes as far as there are any, seconds only below a minute.
    #[must_use]
    pub fn span(self, seconds: i64) -> String {
        let units = [
            (seconds / 86_400, self.0.pick("天", " d")),
            (seconds / 3_600 % 24, self.0.pick("小时", " h")),
            (seconds / 60 % 60, self.0.pick("分钟", " min")),
            (if seconds < 60 { seconds } else { 0 }, self.0.pick("秒", " s")),
        ];
        let said: Vec<String> = units.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
        said.join(self.0.pick("", " "))
    }

    /// A day and a time of day for people, in China's time zone, which has no summer time.
    #[must_use]
    pub fn moment(self, at: UnixMs) -> String {
        self.in_china(at).1
    }

    /// The same with the year.
    #[must_use]
    pub fn time(self, at: UnixMs) -> String {
        let (year, moment) = self.in_china(at);
        match self.0 {
            Language::Zh => format!("{year}年{moment}"),
            Language::En => moment.replacen(',', &format!(" {year},"), 1),
        }
    }

    fn in_china(self, at: UnixMs) -> (i32, String) {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let text = at.plus_seconds(8 * 3600).rfc3339();
        let (date, rest) = text.split_once('T').unwrap_or_default();
        let clock: String = rest.chars().take(5).collect();
        let mut parts = date.splitn(3, '-').map(|part| part.parse::<i32>().unwrap_or_default());
        let (year, month, day) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let name = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default();
        let moment = match self.0 {
            Language::Zh => format!("{month}月{day}日 {clock}"),
            Language::En => format!("{day} {name}, {clock}"),
        };
        (year, moment)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{TABLE, Texts, WORDS};
    use crate::clock::UnixMs;
    use crate::share::language::Language::{En, Zh};

    /// The keys named by `say("…"`, `fill("…"` and `told("…"` in a text.
    fn named(text: &str) -> BTreeSet<String> {
        let calls = ["say(\"", "fill(\"", "told(\""].into_iter().flat_map(|call| text.split(call).skip(1));
        calls.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_word_is_there_in_both_languages_and_is_used() {
        let written: serde_json::Map<String, serde_json::Value> = serde_json::from_str(TABLE).unwrap();
        assert_eq!(written.len(), WORDS.len());
        for (key, (zh, en)) in WORDS.iter() {
            assert!(!zh.is_empty() && !en.is_empty(), "{key}");
            assert_eq!(zh.matches("{}").count(), en.matches("{}").count(), "{key}");
            assert!(en.chars().all(|letter| letter.is_ascii() || "“”…".contains(letter)), "{key}: {en}");
        }
        let sources = concat!(
            include_str!("../page.rs"),
            include_str!("offer.rs"),
            include_str!("state.rs"),
            include_str!("whole.rs"),
            include_str!("chain.rs"),
            include_str!("../../../templates/share/chain.html"),
            include_str!("../../../templates/share/page.html"),
            include_str!("../../../templates/share/top.html"),
            include_str!("../../../templates/share/notice.html"),
        );
        let mut used = named(sources);
        used.extend(named(crate::share::assets::SCRIPT));
        used.extend(named(crate::share::assets::CHAIN_SCRIPT));
        for key in &used {
            assert!(WORDS.contains_key(key.as_str()), "{key} is no word");
        }
        let states = ["scheduled", "live", "paused", "ended", "sold_out", "short", "open", "full", "formed", "failed", "expired"];
        let known = |key: &&str| {
            key.starts_with("error_") || states.iter().any(|state| **key == format!("{state}_head") || **key == format!("{state}_sub"))
        };
        let unused: Vec<_> = WORDS.keys().filter(|key| !used.contains(**key) && !known(key)).collect();
        assert!(unused.is_empty(), "nobody says {unused:?}");
    }

    #[test]
    fn times_and_spans_read_well() {
        let at = UnixMs::parse("2026-11-22T23:05:00Z").unwrap();
        assert_eq!((Texts(Zh).moment(at), Texts(Zh).time(at)), ("11月23日 07:05".into(), "2026年11月23日 07:05".into()));
        assert_eq!((Texts(En).moment(at), Texts(En).time(at)), ("23 Nov, 07:05".into(), "23 Nov 2026, 07:05".into()));
        assert_eq!(Texts(Zh).left(at, at.plus_seconds(3 * 86_400 + 5 * 3600 + 61)), "3天 05:01");
        assert_eq!(Texts(En).left(at, at.plus_seconds(-5)), "00:00");
        assert_eq!(
            (Texts(Zh).span(86_400), Texts(En).span(93_660), Texts(En).span(45)),
            ("1天".into(), "1 d 2 h 1 min".into(), "45 s".into())
        );
        assert_eq!(Texts(En).fill("facts", [3, 10]), "3 of 10 left");
        assert_eq!(Texts(En).fill("chain_next", ["1", "¥2.00"]), "1 cut left, the next is exactly ¥2.00");
        assert_eq!(Texts(En).fill("chain_next", ["11", "¥1"]), "11 cuts left, the next is exactly ¥1");
        assert_eq!(Texts(En).fill("chain_progress", ["1", "2", "¥1"]), "1 of 2 cuts, ¥1 off");
        assert_eq!(Texts(Zh).fill("chain_next", ["1", "¥2.00"]), "还需 1 刀，下一刀正好 ¥2.00");
    }
}
