//! Ids that route themselves.
//!
//! A room's, chain's or order's id carries its campaign's tag, so a request finds its Redis hash slot without a look-up:
//! `room_` + 8 (campaign) + 5 (time) + 9 (chance), `chain_` and `ord_` likewise. All are at most 32 characters of `[0-9A-Za-z_]`, so an order id serves as
//! a WeChat Pay `out_trade_no`. Nine base62 characters are 53 random bits, new ones each second: nobody guesses one, and an op that meets an id
//! of somebody else is refused.
//! Time comes first so that what is made together lies together in SQL's indexes: at random places each new row of a spike would touch,
//! log and write back pages of its own. Inside Redis, where the campaign is in the key, only the last 14 characters are kept ("hot" form): with two more,
//! each field of a hash would take 16 bytes more of Redis' memory.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::clock::UnixMs;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const TAG: usize = 8;
/// Letters and digits of an id besides prefix and tag.
pub(crate) const CHANCE: usize = 14;
/// Of these, those that tell the second.
const TIME: usize = 5;
/// Where time begins: 2026, in seconds since 1970.
const EPOCH: i64 = 1_767_225_600;

/// Text that is not an id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct NotAnId;

/// `N` ASCII letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Base62<const N: usize>([u8; N]);

impl<const N: usize> Base62<N> {
    fn random(rng: &mut impl rand::Rng) -> Self {
        Self(std::array::from_fn(|_| BASE62.get(rng.random_range(0..BASE62.len())).copied().unwrap_or(b'0')))
    }

    /// Time, then chance. What fits into five characters begins anew after 29 years.
    fn made_at(now: UnixMs, rng: &mut impl rand::Rng) -> Self {
        let mut id = Self::random(rng);
        let mut seconds = now.get().div_euclid(1000) - EPOCH;
        for place in id.0.iter_mut().take(TIME).rev() {
            let digit = usize::try_from(seconds.rem_euclid(62)).ok().and_then(|digit| BASE62.get(digit));
            *place = digit.copied().unwrap_or(b'0');
            seconds = seconds.div_euclid(62);
        }
        id
    }

    fn parse(text: &str) -> Result<Self, NotAnId> {
        let bytes: [u8; N] = text.as_bytes().try_into().map_err(|_not_n_long| NotAnId)?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(bytes)) } else { Err(NotAnId) }
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The id of a campaign: `cmp_` and its 8-character tag, which is the Redis hash tag of all its keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CampaignId(Base62<TAG>);

/// The id of a shopper: `usr_` and 14 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Base62<CHANCE>);

/// The id of a device, as its token names it: 14 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Base62<CHANCE>);

/// The id of a withdrawal, also the payout provider's number of it: `wd_` and 14 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WithdrawalId(Base62<CHANCE>);

/// The id of a room: `room_`, its campaign's tag, 5 characters of time and 9 of chance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(Base62<TAG>, Base62<CHANCE>);

/// The id of a chain: `chain_`, its campaign's tag, 5 characters of time and 9 of chance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(Base62<TAG>, Base62<CHANCE>);

/// The id of an order: `ord_`, its campaign's tag, 5 characters of time and 9 of chance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(Base62<TAG>, Base62<CHANCE>);

/// What ids of examples are made of.
const SHOWN: &str = "k4fQz2LmB8vTn1xYcD5hJw7R";

macro_rules! plain_id {
    ($name:ident, $prefix:literal, $chance:literal, $about:literal) => {
        impl $name {
            /// A new one.
            pub fn random(rng: &mut impl rand::Rng) -> Self {
                Self(Base62::random(rng))
            }

            /// The part after the prefix, as Redis keeps it.
            #[must_use]
            pub fn hot(&self) -> &str {
                self.0.as_str()
            }

            /// The id from the form Redis keeps.
            ///
            /// # Errors
            /// When the text has another length or alphabet.
            pub fn from_hot(hot: &str) -> Result<Self, NotAnId> {
                Base62::parse(hot).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                Self::from_hot(text.strip_prefix($prefix).ok_or(NotAnId)?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.hot())
            }
        }
        text_id!($name, $prefix, $chance, $about);
    };
}

macro_rules! campaign_bound_id {
    ($name:ident, $prefix:literal, $chance:literal, $about:literal) => {
        impl $name {
            /// A new one in `campaign`.
            pub fn new(campaign: CampaignId, now: UnixMs, rng: &mut impl rand::Rng) -> Self {
                Self(campaign.0, Base62::made_at(now, rng))
            }

            /// The campaign it belongs to.
            #[must_use]
            pub const fn campaign(&self) -> CampaignId {
                CampaignId(self.0)
            }

            /// The part after prefix and tag, as Redis keeps it.
            #[must_use]
            pub fn hot(&self) -> &str {
                self.1.as_str()
            }

            /// The id from its campaign and the form Redis keeps.
            ///
            /// # Errors
            /// When the text has another length or alphabet.
            pub fn from_hot(campaign: CampaignId, hot: &str) -> Result<Self, NotAnId> {
                Ok(Self(campaign.0, Base62::parse(hot)?))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let rest = text.strip_prefix($prefix).ok_or(NotAnId)?;
                let (tag, chance) = rest.split_at_checked(TAG).ok_or(NotAnId)?;
                Ok(Self(Base62::parse(tag)?, Base62::parse(chance)?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}{}", $prefix, self.0.as_str(), self.hot())
            }
        }
        text_id!($name, $prefix, $chance, $about);
    };
}

/// What every id does as text: JSON, debug output, OpenAPI.
macro_rules! text_id {
    ($name:ident, $prefix:literal, $chance:literal, $about:literal) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($about))
                    .pattern(Some(concat!("^", $prefix, "[0-9A-Za-z]{", $chance, "}$")))
                    .examples([format!("{}{}", $prefix, SHOWN.get(..$chance).unwrap_or_default())])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

plain_id!(CampaignId, "cmp_", 8, "The id of a campaign.");
plain_id!(UserId, "usr_", 14, "The id of a shopper.");
plain_id!(DeviceId, "", 14, "The id of a device.");
plain_id!(WithdrawalId, "wd_", 14, "The id of a withdrawal, also the payout provider's number of it.");
campaign_bound_id!(RoomId, "room_", 22, "The id of a room.");
campaign_bound_id!(ChainId, "chain_", 22, "The id of a chain.");
campaign_bound_id!(OrderId, "ord_", 22, "The id of an order, also the payment provider's trade number.");

/// What a share link may lead to within its campaign: a room or a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetId {
    /// A group-buy room.
    Room(RoomId),
    /// A bargain chain.
    Chain(ChainId),
}

impl TargetId {
    /// The campaign it belongs to.
    #[must_use]
    pub const fn campaign(&self) -> CampaignId {
        match self {
            Self::Room(id) => id.campaign(),
            Self::Chain(id) => id.campaign(),
        }
    }
}

impl FromStr for TargetId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        text.parse().map(Self::Room).or_else(|_no_room| text.parse().map(Self::Chain))
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(id) => fmt::Display::fmt(id, f),
            Self::Chain(id) => fmt::Display::fmt(id, f),
        }
    }
}

impl Serialize for TargetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl utoipa::PartialSchema for TargetId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("The id of a room or a chain."))
            .pattern(Some("^(room|chain)_[0-9A-Za-z]{22}$"))
            .into()
    }
}

impl utoipa::ToSchema for TargetId {}

#[cfg(test)]
mod tests {
    use super::{CampaignId, NotAnId, OrderId, RoomId, UserId};
    use crate::clock::UnixMs;

    const NOW: UnixMs = UnixMs::new(1_795_305_600_123);

    #[test]
    fn ids_read_back_route_themselves_and_fit_a_trade_number() {
        let mut rng = rand::rng();
        let campaign = CampaignId::random(&mut rng);
        let order = OrderId::new(campaign, NOW, &mut rng);
        assert_eq!(order.to_string().parse(), Ok(order));
        assert_eq!(order.campaign(), campaign);
        assert_eq!(OrderId::from_hot(campaign, order.hot()), Ok(order));
        assert!(order.to_string().len() <= 32);
        assert!(RoomId::new(campaign, NOW, &mut rng).to_string().len() <= 32);
    }

    #[test]
    fn later_ids_are_greater_and_no_two_are_alike() {
        let mut rng = rand::rng();
        let campaign = CampaignId::random(&mut rng);
        let mut made: Vec<_> = (0..100).map(|second| OrderId::new(campaign, NOW.plus_seconds(second), &mut rng)).collect();
        let text: Vec<_> = made.iter().map(ToString::to_string).collect();
        assert!(made.is_sorted() && text.is_sorted());
        made.extend((0..1000).map(|_| OrderId::new(campaign, NOW, &mut rng)));
        assert_eq!(made.iter().collect::<std::collections::BTreeSet<_>>().len(), 1100);
    }

    #[test]
    fn other_text_is_refused() {
        assert_eq!("ord_short".parse::<OrderId>(), Err(NotAnId));
        assert_eq!("usr_0123456789abc}".parse::<UserId>(), Err(NotAnId));
        assert_eq!("room_1234567é0123456789abcd".parse::<RoomId>(), Err(NotAnId));
    }
}
