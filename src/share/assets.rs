//! The page's own files. Each is named by a hash of what is in it, so a browser may keep it for a year.

use std::io::Write;
use std::sync::LazyLock;

use actix_web::http::header::HeaderValue;
use actix_web::web::{Bytes, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::language::Language;
use super::page::words;
use crate::code::Code;
use crate::crypto::sha256_hex;
use crate::http::answer::takes_gzip;
use crate::http::problem::Problem;

/// The script's parts, in the order they build on each other.
pub const SCRIPT: &str = concat!(
    include_str!("../../templates/share/js/base.js"),
    include_str!("../../templates/share/js/call.js"),
    include_str!("../../templates/share/js/state.js"),
    include_str!("../../templates/share/js/seats.js"),
    include_str!("../../templates/share/js/sheet.js"),
    include_str!("../../templates/share/js/act.js"),
    include_str!("../../templates/share/js/acts.js"),
    include_str!("../../templates/share/js/live.js"),
);
/// Those of the page of a bargain.
pub const CHAIN_SCRIPT: &str = concat!(
    include_str!("../../templates/share/js/base.js"),
    include_str!("../../templates/share/js/call.js"),
    include_str!("../../templates/share/js/sheet.js"),
    include_str!("../../templates/share/js/act.js"),
    include_str!("../../templates/share/js/chain.js"),
);
const STYLE: &str = include_str!("../../templates/share/page.css");
const NOTICE: &str = include_str!("../../templates/share/notice.css");
const MORE: &str = include_str!("../../templates/share/more.css");
const ICON: &str = include_str!("../../templates/share/icon.svg");
const PICTURE: &[u8] = include_bytes!("../../templates/share/picture.png");

/// A year, the longest that caches honour.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// All of them.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: minified(STYLE),
    notice: minified(NOTICE),
    scripts: scripts("page", SCRIPT),
    chain_scripts: scripts("chain", CHAIN_SCRIPT),
    more: Asset::new("more", "css", "text/css; charset=utf-8", minified(MORE).as_bytes()),
    icon: Asset::new("icon", "svg", "image/svg+xml", ICON.as_bytes()),
    picture: Asset::new("picture", "png", "image/png", PICTURE),
});

/// A script with the words of each language.
fn scripts(stem: &str, script: &str) -> [(Language, Asset); 2] {
    [Language::Zh, Language::En].map(|language| {
        let text = format!("const WORDS = {};\n{script}", words::json(language));
        (language, Asset::new(stem, "js", "text/javascript; charset=utf-8", text.as_bytes()))
    })
}

/// The page's own files.
pub struct Assets {
    /// The style of the first screen; it stands in the page.
    pub style: String,
    /// The style of the small pages; it stands in them.
    pub notice: String,
    /// The rest of the style.
    pub more: Asset,
    /// The icon.
    pub icon: Asset,
    /// The picture beside a link, where others show previews.
    pub picture: Asset,
    scripts: [(Language, Asset); 2],
    chain_scripts: [(Language, Asset); 2],
}

impl Assets {
    /// The script with the words of a language.
    #[must_use]
    pub fn script(&self, language: Language) -> &Asset {
        let [(_, zh), (_, en)] = &self.scripts;
        match language {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    /// The script of the page of a bargain, likewise.
    #[must_use]
    pub fn chain_script(&self, language: Language) -> &Asset {
        let [(_, zh), (_, en)] = &self.chain_scripts;
        match language {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    fn find(&self, name: &str) -> Option<&Asset> {
        let scripts = self.scripts.iter().chain(&self.chain_scripts).map(|(_, script)| script);
        scripts.chain([&self.more, &self.icon, &self.picture]).find(|asset| asset.name == name)
    }
}

/// A file, as it is and compressed.
pub struct Asset {
    name: String,
    kind: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, bytes: &[u8]) -> Self {
        let hash = sha256_hex(bytes);
        let name = format!("{stem}.{}.{extension}", hash.get(..16).unwrap_or_default());
        Self { name, kind: HeaderValue::from_static(kind), plain: Bytes::copy_from_slice(bytes), gzip: gzip(bytes) }
    }

    /// Its path on this server.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

/// A file of the page, named by its content.
#[utoipa::path(tag = "shares", operation_id = "get_asset", params(("name" = String, Path, description = "A file that the page names.")),
    responses((status = 200, description = "Script, style or picture", content_type = "*/*", body = String)),
    extensions(("x-refusals" = json!([Code::NotFound]))))]
#[get("/assets/{name}")]
pub async fn file(request: HttpRequest, name: Path<String>) -> Result<HttpResponse, Problem> {
    let asset = ASSETS.find(&name).ok_or(Code::NotFound)?;
    let mut response = HttpResponse::Ok();
    response.insert_header(("content-type", asset.kind.clone())).insert_header(("cache-control", KEEP));
    response.insert_header(("vary", "Accept-Encoding"));
    if takes_gzip(&request) && asset.gzip.len() < asset.plain.len() {
        Ok(response.insert_header(("content-encoding", "gzip")).body(asset.gzip.clone()))
    } else {
        Ok(response.body(asset.plain.clone()))
    }
}

/// Compressed as small as gzip can; what cannot be compressed is empty.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map(Bytes::from).unwrap_or_default()
}

/// The variables of our styles. In what is sent each has its first letter only.
const VARIABLES: [&str; 10] = ["fill", "mark", "tint", "ink", "soft", "paper", "card", "line", "edge", "box"];

/// A style sheet without comments, without spaces that mean nothing, and with short variables. Ours have no such marks inside quotes.
fn minified(css: &str) -> String {
    let mut text = String::with_capacity(css.len());
    let mut rest = css;
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").unwrap_or_default().1;
    }
    text.push_str(rest);
    for name in VARIABLES {
        text = text.replace(&format!("--{name}"), &format!("--{}", name.get(..1).unwrap_or(name)));
    }
    let mut small = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in ["{", "}", ";", ","] {
        for spaced in [format!(" {mark} "), format!(" {mark}"), format!("{mark} ")] {
            small = small.replace(&spaced, mark);
        }
    }
    small.replace(": ", ":").replace(";}", "}")
}

#[cfg(test)]
mod tests {
    use super::{ASSETS, MORE, NOTICE, STYLE, VARIABLES, minified};
    use crate::share::language::Language;

    #[test]
    fn a_style_keeps_its_meaning_when_small() {
        let small = minified("/* x */\na > b :is(i, b) {\n  color: red;\n  margin: 1px calc(1px + 2px) var(--box);\n}\n");
        assert_eq!(small, "a > b :is(i,b){color:red;margin:1px calc(1px + 2px) var(--b)}");
    }

    #[test]
    fn every_variable_of_the_styles_is_a_known_one_with_a_letter_of_its_own() {
        for css in [STYLE, MORE, NOTICE] {
            let used = css.split("--").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap());
            for name in used {
                assert!(VARIABLES.contains(&name), "--{name}");
            }
        }
        let letters: std::collections::BTreeSet<_> = VARIABLES.iter().map(|name| name.chars().next()).collect();
        assert_eq!(letters.len(), VARIABLES.len());
    }

    #[test]
    fn files_are_found_by_the_name_the_page_gives_them() {
        for asset in [ASSETS.script(Language::Zh), ASSETS.script(Language::En), &ASSETS.more, &ASSETS.icon, &ASSETS.picture] {
            let name = asset.path().strip_prefix("/assets/").unwrap().to_owned();
            assert_eq!(ASSETS.find(&name).unwrap().plain, asset.plain);
            assert!(!asset.plain.is_empty() && !asset.gzip.is_empty());
        }
        assert!(ASSETS.find("page.js").is_none());
    }
}
