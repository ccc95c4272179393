//! Accounts and their names.

use std::fmt;

use crate::id::{CampaignId, UserId};

/// What an account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// Money taken from outside, below zero.
    Taken,
    /// Paid for orders whose good is not certain yet.
    Received,
    /// Paid for orders whose good is certain.
    Kept,
    /// To go back to those who paid it.
    RefundsDue,
    /// What the operator gives as rewards, below zero.
    Rewards,
    /// Rewards that may not be taken out yet.
    Frozen,
    /// What may be taken out.
    Available,
    /// Rewards that were taken back after they were available, below zero.
    Debt,
    /// On its way out.
    Withdrawing,
    /// Taken out.
    Withdrawn,
}

impl AccountKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Taken,
        Self::Received,
        Self::Kept,
        Self::RefundsDue,
        Self::Rewards,
        Self::Frozen,
        Self::Available,
        Self::Debt,
        Self::Withdrawing,
        Self::Withdrawn,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Received => "received",
            Self::Kept => "kept",
            Self::RefundsDue => "refunds_due",
            Self::Rewards => "rewards",
            Self::Frozen => "frozen",
            Self::Available => "available",
            Self::Debt => "debt",
            Self::Withdrawing => "withdrawing",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The kind a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// An account: its kind and whose it is. As text `<kind>:<owner>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// Money that came from outside for a campaign's orders; below zero by as much as is here.
    Taken(CampaignId),
    /// Paid for orders whose good is not certain yet.
    Received(CampaignId),
    /// Paid for orders whose good is certain.
    Kept(CampaignId),
    /// To go back to those who paid it.
    RefundsDue(CampaignId),
    /// What the operator gives as rewards; below zero.
    Rewards(CampaignId),
    /// A user's rewards that may not be taken out yet.
    Frozen(UserId),
    /// What a user may take out.
    Available(UserId),
    /// Rewards that a user had and that were taken back; below zero.
    Debt(UserId),
    /// On its way to a user.
    Withdrawing(UserId),
    /// Paid out to a user.
    Withdrawn(UserId),
}

impl Account {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> AccountKind {
        match self {
            Self::Taken(_) => AccountKind::Taken,
            Self::Received(_) => AccountKind::Received,
            Self::Kept(_) => AccountKind::Kept,
            Self::RefundsDue(_) => AccountKind::RefundsDue,
            Self::Rewards(_) => AccountKind::Rewards,
            Self::Frozen(_) => AccountKind::Frozen,
            Self::Available(_) => AccountKind::Available,
            Self::Debt(_) => AccountKind::Debt,
            Self::Withdrawing(_) => AccountKind::Withdrawing,
            Self::Withdrawn(_) => AccountKind::Withdrawn,
        }
    }

    /// The user it belongs to; `None` for a campaign's.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::Taken(_) | Self::Received(_) | Self::Kept(_) | Self::RefundsDue(_) | Self::Rewards(_) => None,
            Self::Frozen(user) | Self::Available(user) | Self::Debt(user) | Self::Withdrawing(user) | Self::Withdrawn(user) => Some(*user),
        }
    }

    /// Whose it is, as text.
    #[must_use]
    pub fn owner(&self) -> String {
        match self {
            Self::Taken(campaign)
            | Self::Received(campaign)
            | Self::Kept(campaign)
            | Self::RefundsDue(campaign)
            | Self::Rewards(campaign) => campaign.to_string(),
            Self::Frozen(user) | Self::Available(user) | Self::Debt(user) | Self::Withdrawing(user) | Self::Withdrawn(user) => {
                user.to_string()
            }
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind().word(), self.owner())
    }
}

#[cfg(test)]
mod tests {
    use super::AccountKind;

    #[test]
    fn the_word_is_the_same_in_json_and_sql() {
        for kind in AccountKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(AccountKind::from_word(kind.word()), Some(kind));
        }
    }
}
