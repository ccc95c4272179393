//! How the engine's own types stand in a column: money and time as BIGINT, ids as TEXT.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Type};

use crate::clock::UnixMs;
use crate::id::{CampaignId, ChainId, DeviceId, OrderId, RoomId, TargetId, UserId, WithdrawalId};
use crate::money::Fen;

macro_rules! stored_as {
    ($type:ty as $stored:ty, $to:expr, $from:expr) => {
        impl<DB: Database> Type<DB> for $type
        where
            $stored: Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <$stored as Type<DB>>::type_info()
            }

            fn compatible(other: &DB::TypeInfo) -> bool {
                <$stored as Type<DB>>::compatible(other)
            }
        }

        impl<'q, DB: Database> Encode<'q, DB> for $type
        where
            $stored: Encode<'q, DB>,
        {
            fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let to: fn(&$type) -> $stored = $to;
                <$stored as Encode<'q, DB>>::encode(to(self), buffer)
            }
        }

        impl<'r, DB: Database> Decode<'r, DB> for $type
        where
            $stored: Decode<'r, DB>,
        {
            fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
                let from: fn($stored) -> Result<$type, BoxDynError> = $from;
                from(<$stored as Decode<'r, DB>>::decode(value)?)
            }
        }
    };
}

stored_as!(Fen as i64, |fen| fen.get(), |fen| Ok(Fen::new(fen)));
stored_as!(UnixMs as i64, |at| at.get(), |ms| Ok(UnixMs::new(ms)));
stored_as!(CampaignId as String, ToString::to_string, |text| Ok(text.parse()?));
stored_as!(UserId as String, ToString::to_string, |text| Ok(text.parse()?));
stored_as!(DeviceId as String, ToString::to_string, |text| Ok(text.parse()?));
stored_as!(RoomId as String, ToString::to_string, |text| Ok(text.parse()?));
stored_as!(ChainId as String, ToString::to_string, |text| Ok(text.parse()?));
stored_as!(TargetId as String, ToString::to_string, |text| Ok(text.parse()?));
stored_as!(WithdrawalId as String, ToString::to_string, |text| Ok(text.parse()?));
stored_as!(OrderId as String, ToString::to_string, |text| Ok(text.parse()?));
