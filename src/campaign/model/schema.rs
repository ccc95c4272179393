//! Definitions in the OpenAPI document, made of the same forms that read them.

use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Discriminator, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::super::patch::EDITABLE;
use super::super::read::Record;
use super::super::read::described::{Field, Named, answered, patched, sent};
use super::{Bargain, Definition, GroupBuy, Head, Kind, Referral};

/// A definition as it is answered: with every field, defaults filled in.
#[derive(Debug)]
pub struct WholeDefinition;

/// The name of each kind's schema, what the kind is, and its fields.
fn kinds() -> [(&'static str, &'static str, Vec<Field>); 3] {
    [
        ("GroupBuyDefinition", "Rooms that fill.", fields::<GroupBuy>(Kind::GroupBuy)),
        ("BargainDefinition", "Chains of cuts.", fields::<Bargain>(Kind::Bargain)),
        ("ReferralDefinition", "Two-level rewards.", fields::<Referral>(Kind::Referral)),
    ]
}

fn fields<R: Record>(kind: Kind) -> Vec<Field> {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([kind.word()])).into();
    let kind = Field { name: "kind", about: "Its kind.", schema, default: None };
    [vec![kind], Head::described().unwrap_or_default(), R::described().unwrap_or_default()].concat()
}

fn named(found: &mut Named) {
    for list in [Head::named, GroupBuy::named, Bargain::named, Referral::named] {
        list(found);
    }
}

impl PartialSchema for Definition {
    fn schema() -> RefOr<Schema> {
        let one = kinds().into_iter().fold(OneOfBuilder::new(), |one, (name, ..)| one.item(Ref::from_schema_name(name)));
        one.description(Some("A definition. What has a default may be absent or null."))
            .discriminator(Some(Discriminator::new("kind")))
            .into()
    }
}

impl ToSchema for Definition {
    fn schemas(found: &mut Named) {
        found.extend(kinds().map(|(name, about, fields)| (name.to_owned(), sent(&fields).description(Some(about)).into())));
        named(found);
    }
}

impl PartialSchema for WholeDefinition {
    fn schema() -> RefOr<Schema> {
        let one =
            kinds().into_iter().fold(OneOfBuilder::new(), |one, (_, about, fields)| one.item(answered(&fields).description(Some(about))));
        one.description(Some("A definition with its defaults filled in.")).into()
    }
}

impl ToSchema for WholeDefinition {
    fn schemas(found: &mut Named) {
        named(found);
    }
}

/// A merge patch (RFC 7396) of a definition, in the OpenAPI document.
#[derive(Debug)]
pub struct DefinitionPatch;

impl PartialSchema for DefinitionPatch {
    fn schema() -> RefOr<Schema> {
        let editable = |field: &Field| EDITABLE.contains(&field.name);
        let fields = [Head::described().unwrap_or_default(), GroupBuy::described().unwrap_or_default()].concat();
        let about = "A merge patch (RFC 7396): any fields of the definition, null for the default. Once the campaign is published only those \
                     listed here: `ends_at` to a later time, `loss_budget_fen`, where there is one, to a larger sum.";
        patched(fields.into_iter().filter(editable)).description(Some(about)).into()
    }
}

impl ToSchema for DefinitionPatch {}
