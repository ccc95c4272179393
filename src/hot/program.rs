//! Lua programs: the files of `lua/`, joined at compile time, one program per campaign kind.
//!
//! A program is called by its SHA-1 (EVALSHA): two versions of the server can run side by side on one Redis. `NOSCRIPT` means only
//! "load it"; whether Redis lost data is the fence's business.

use super::lane::Class;
use crate::id::CampaignId;

/// A script text and the SHA-1 it is called by.
#[derive(Debug)]
pub struct Script {
    /// The whole text.
    pub text: String,
    /// Lower-case hex.
    pub sha1: String,
}

impl Script {
    fn new(shebang: &str, body: &str) -> Self {
        let text = format!("{shebang}\n{body}");
        let sha1 = crate::crypto::sha1_hex(&[text.as_bytes()]);
        Self { text, sha1 }
    }
}

/// A campaign kind's program.
#[derive(Debug)]
pub struct Program {
    /// The tables it uses; each is one Redis key of the campaign.
    pub tables: &'static [&'static str],
    /// The table that has a row for everybody who ever took something.
    pub holders: &'static str,
    /// Ops that take something: Redis refuses the call before it starts when memory is full or the log cannot be written.
    pub admit: Script,
    /// The same ops text for ops that free things: runs also when memory is full.
    pub drain: Script,
    /// Reads rows.
    pub read: Script,
    /// Recovery's steps.
    pub recovery: Script,
}

impl Program {
    /// A program from the text of its ops (`lua!`: every file after `lua/lib`'s state and log), the tables they use, and that of those who took something.
    #[must_use]
    pub fn new(tables: &'static [&'static str], holders: &'static str, ops: &str) -> Self {
        let ops = format!("{NAMES}{LIB}{ANSWERS}{ops}{ENGINE}");
        Self {
            tables,
            holders,
            admit: Script::new("#!lua", &ops),
            drain: Script::new("#!lua flags=allow-oom", &ops),
            read: Script::new("#!lua flags=no-writes", &format!("{NAMES}{LIB}{READ}")),
            recovery: Script::new("#!lua flags=allow-oom", &format!("{NAMES}{LIB}{RECOVERY}")),
        }
    }

    /// The text that ops of a class are called by.
    #[must_use]
    pub const fn script(&self, class: Class) -> &Script {
        match class {
            Class::Admit => &self.admit,
            Class::Drain => &self.drain,
        }
    }

    /// The Redis keys of a campaign, in the order in which the program is given them. The braces make them one hash slot.
    #[must_use]
    pub fn keys(&self, campaign: CampaignId) -> Vec<String> {
        self.tables.iter().map(|table| key(campaign, table)).collect()
    }
}

/// The Redis key of one table of a campaign.
#[must_use]
pub fn key(campaign: CampaignId, table: &str) -> String {
    format!("{{{}}}:{table}", campaign.hot())
}

/// Lua files of `lua/`, by their names there, as one text. Each is a block of its own: none sees another's locals, and Lua, which looks
/// through the open ones for every function that it makes, has few to look through. The names that files share stand before them.
macro_rules! lua {
    ($($file:literal),+ $(,)?) => {
        concat!($("do\n", include_str!(concat!("../../lua/", $file)), "end\n"),+)
    };
}
pub(crate) use lua;

const NAMES: &str = include_str!("../../lua/lib/names.lua");
const LIB: &str = lua!("lib/schema.lua", "lib/state.lua", "lib/fence.lua");
const ANSWERS: &str = lua!("lib/log.lua", "lib/timers.lua", "lib/answers.lua");
const ENGINE: &str = lua!("lib/engine.lua");
const READ: &str = lua!("read.lua");
const RECOVERY: &str = lua!("recovery.lua");
