//! Words that push people to share, and words that say what a list price is.
//!
//! WeChat 运营规范 §5.1.1 forbids pressing people to share (不转不是中国人 and its kin). Phrases are compared after the tricks of
//! spelling are taken away: full-width letters, case, spaces and signs between characters, traditional characters of the phrases.

/// Chinese phrases, without spaces or signs.
const FORCING_ZH: &[&str] = &[
    "不转不是",
    "不转发不是",
    "不分享不是",
    "不轉不是",
    "不轉發不是",
    "不转死",
    "不转全家",
    "不转后悔",
    "不转会",
    "不转倒霉",
    "不转就",
    "不转发就",
    "不分享就",
    "转发保平安",
    "轉發保平安",
    "转发才能",
    "转发后才",
    "转发后可",
    "转发方可",
    "分享才能",
    "分享后才",
    "分享后可",
    "分享方可",
    "必须转发",
    "必须分享",
    "必须转",
    "强制转发",
    "强制分享",
    "务必转发",
    "务必分享",
    "请速转",
    "速速转发",
    "火速转发",
    "疯转",
    "疯狂转发",
    "求转发",
    "跪求转",
    "是中国人就转",
    "是中国人都转",
    "中国人必转",
    "看到就转",
    "看完必转",
    "转起来",
    "转疯了",
    "好人一生平安",
    "集赞",
    "转发朋友圈",
    "转发到朋友圈",
    "分享朋友圈",
    "分享到朋友圈",
    "转发到群",
    "分享到群",
    "转发有奖",
    "转发有礼",
    "转发得",
    "转发领",
    "分享得",
    "分享领",
    "分享有奖",
    "分享有礼",
    "转发抽奖",
];

/// English phrases, lower case, words parted by one space.
const FORCING_EN: &[&str] = &[
    "must share",
    "must forward",
    "have to share",
    "have to forward",
    "forced to share",
    "share or",
    "forward or",
    "share or else",
    "share to unlock",
    "forward to unlock",
    "share to see",
    "share before",
    "share first to",
    "if you do not share",
    "if you don t share",
    "if you dont share",
    "unless you share",
    "who does not share",
    "not sharing means",
    "keep the chain",
    "do not break the chain",
    "don t break the chain",
    "share this or",
    "pass this on",
    "forward this to",
    "share this to win",
    "share to win",
    "share to earn",
    "share to get",
    "forward to get",
    "share with ten",
    "share with everyone",
    "send this to everyone",
    "share to moments",
    "repost to win",
    "repost or",
];

/// Words by which a text says what the list price is.
const PRICE_BASE: &[&str] = &[
    "划线价",
    "劃線價",
    "原价",
    "原價",
    "市场价",
    "日常价",
    "日常售价",
    "日常销售价",
    "门店价",
    "零售价",
    "标价",
    "吊牌价",
    "定价",
    "指导价",
    "单买价",
    "单独购买",
    "list price",
    "regular price",
    "retail price",
    "reference price",
    "shop price",
    "usual price",
    "original price",
    "normal price",
    "price in our shop",
    "price alone",
    "everyday price",
];

/// The first forcing phrase in a text.
#[must_use]
pub fn forcing_phrase(text: &str) -> Option<&'static str> {
    let bare: String = plain(text).filter(|c| c.is_alphanumeric()).collect();
    let words = words(text);
    let chinese = FORCING_ZH.iter().find(|phrase| bare.contains(**phrase));
    chinese.or_else(|| FORCING_EN.iter().find(|phrase| words.contains(&format!(" {phrase} ")))).copied()
}

/// Whether a text says what the price is that others are compared with.
#[must_use]
pub fn states_price_base(text: &str) -> bool {
    let lower: String = plain(text).collect();
    PRICE_BASE.iter().any(|word| lower.contains(word))
}

/// How many letters, digits and ideographs a text has: what is left when ornament is taken away.
#[must_use]
pub fn substance(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphanumeric()).count()
}

/// Lower case, with full-width ASCII made plain.
fn plain(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(narrow).flat_map(char::to_lowercase)
}

/// U+FF01..=U+FF5E are ASCII 0x21..=0x7E, 0xFEE0 higher.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// The words of a text, parted and surrounded by single spaces.
fn words(text: &str) -> String {
    let spaced: String = plain(text).map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    format!(" {} ", spaced.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::{forcing_phrase, states_price_base, substance};

    #[test]
    fn forcing_words_are_found_behind_tricks_of_spelling() {
        for text in [
            "不转不是中国人",
            "不 转，不·是 中国人！",
            "樱桃半价，转发保平安",
            "分享后才能看价格",
            "Ｍｕｓｔ　ｓｈａｒｅ!",
            "You MUST share this",
            "Share, or you are not one of us",
            "if you don't share it",
            "集赞得樱桃",
            "不轉不是中國人",
        ] {
            assert!(forcing_phrase(text).is_some(), "{text}");
        }
    }

    #[test]
    fn honest_titles_pass() {
        for text in [
            "樱桃1公斤，三人成团半价",
            "Cherries, half price for three",
            "Share oranges with friends",
            "邀请两位好友一起拼，每人49.50元",
            "Share a room with two friends",
            "转角面包店五人同享礼盒",
            "Moments of tea",
        ] {
            assert_eq!(forcing_phrase(text), None, "{text}");
        }
    }

    #[test]
    fn a_price_base_is_recognised_in_both_languages() {
        assert!(states_price_base("划线价99.00元为本店近三十天的日常售价"));
        assert!(states_price_base("The List Price is our shop's price"));
        assert!(!states_price_base("三人成团，每人49.50元"));
    }

    #[test]
    fn ornament_is_no_substance() {
        assert_eq!(substance("…… --- !!"), 0);
        assert_eq!(substance("规则 1."), 3);
    }
}
