use std::sync::Arc;

use super::hub::{Due, Hub, Name};
use super::{BEHIND, Change, Follower, TooSlow};
use crate::hot::Place;
use crate::hot::entry::BodyRef;
use crate::id::CampaignId;

type Row<'a> = (&'a str, &'a str, &'a str);

const EPOCH: i64 = 3;

fn at(seq: i64) -> Place {
    Place { epoch: EPOCH, seq }
}

fn campaign() -> CampaignId {
    CampaignId::random(&mut rand::rng())
}

/// An entry as Lua packs it, with events of no interest.
fn publish(hub: &mut Hub<()>, campaign: CampaignId, epoch: i64, (first, last): (i64, i64), rows: &[Row<'_>]) -> bool {
    let events = vec![(first, "group_buy.seat_held", [("room", "one")])];
    let changes: Vec<_> = rows.iter().map(|(table, field, row)| (*table, [*field, *row], [""; 0])).collect();
    let packed = rmp_serde::to_vec(&(1, epoch, 7, first, last, 1_700_000_000_000_i64, events, changes)).unwrap();
    hub.publish(campaign, &BodyRef::read(&packed).unwrap())
}

fn follow(hub: &mut Hub<()>, campaign: CampaignId, field: &str, seq: i64) -> Follower<()> {
    let changes = hub.watch(campaign, "rooms", field);
    assert!(hub.covers(campaign, at(seq)));
    Follower { changes, at: at(seq) }
}

fn refresh(hub: &mut Hub<()>, campaign: CampaignId, seq: i64, fields: &[&str]) {
    let rows = fields.iter().map(|field| (("rooms", (*field).to_owned()), b"fresh".to_vec()));
    hub.refresh(campaign, at(seq), rows);
}

async fn next(follower: &mut Follower<()>) -> (Place, String) {
    let change: Arc<Change<()>> = follower.next().await.unwrap();
    (change.place, String::from_utf8(change.row.clone()).unwrap())
}

fn named(field: &str) -> Name {
    ("rooms", field.to_owned())
}

#[tokio::test]
async fn a_reader_gets_each_change_of_its_row_once_in_order() {
    let (mut hub, campaign) = (Hub::default(), campaign());
    let mut one = follow(&mut hub, campaign, "one", 10);
    assert_eq!(hub.due(campaign, 9), Due::Log(at(10)));
    assert!(publish(&mut hub, campaign, EPOCH, (11, 14), &[("rooms", "one", "a"), ("rooms", "two", "b"), ("orders", "one", "c")]));
    // Comes later and has read later: the first change is in what it read.
    let mut late = follow(&mut hub, campaign, "one", 14);
    assert!(publish(&mut hub, campaign, EPOCH, (15, 15), &[("rooms", "two", "d")]));
    assert!(publish(&mut hub, campaign, EPOCH, (16, 20), &[("rooms", "one", "e")]));
    assert!(publish(&mut hub, campaign, EPOCH, (21, 21), &[("rooms", "one", "")]));
    assert_eq!(next(&mut one).await, (at(14), "a".into()));
    for reader in [&mut one, &mut late] {
        assert_eq!(next(reader).await, (at(20), "e".into()));
        assert_eq!(next(reader).await, (at(21), String::new()));
    }
    assert_eq!(hub.due(campaign, 9), Due::Log(at(21)));
}

#[tokio::test]
async fn a_reader_may_be_64_changes_behind_and_not_one_more() {
    let (mut hub, campaign) = (Hub::default(), campaign());
    let (mut just, mut too) = (follow(&mut hub, campaign, "one", 0), follow(&mut hub, campaign, "one", 0));
    let behind = i64::try_from(BEHIND).unwrap();
    for seq in 1..=behind {
        publish(&mut hub, campaign, EPOCH, (seq, seq), &[("rooms", "one", "x")]);
    }
    assert_eq!(next(&mut just).await.0, at(1));
    publish(&mut hub, campaign, EPOCH, (behind + 1, behind + 1), &[("rooms", "one", "y")]);
    assert_eq!(too.next().await.unwrap_err(), TooSlow);
    for seq in 2..=behind + 1 {
        assert_eq!(next(&mut just).await.0, at(seq));
    }
}

#[tokio::test]
async fn where_the_log_does_not_go_on_every_reader_is_owed_the_present_state() {
    let (mut hub, campaign) = (Hub::default(), campaign());
    let mut one = follow(&mut hub, campaign, "one", 10);
    assert!(!publish(&mut hub, campaign, EPOCH, (12, 12), &[("rooms", "one", "gap")]), "11 is missing");
    assert!(!publish(&mut hub, campaign, EPOCH + 1, (11, 11), &[("rooms", "one", "epoch")]), "another epoch");
    hub.lose(campaign);
    assert!(!publish(&mut hub, campaign, EPOCH, (11, 11), &[("rooms", "one", "lost")]));
    assert_eq!(hub.due(campaign, 9), Due::Rows(vec![named("one")]));
    // Comes in between: its row is owed too, in another page.
    let mut two = follow(&mut hub, campaign, "two", 12);
    refresh(&mut hub, campaign, 15, &["one"]);
    assert_eq!(hub.due(campaign, 9), Due::Rows(vec![named("two")]));
    refresh(&mut hub, campaign, 17, &["two"]);
    assert_eq!(hub.due(campaign, 9), Due::Log(at(15)), "from where the first page was read");
    assert!(publish(&mut hub, campaign, EPOCH, (16, 17), &[("rooms", "one", "o"), ("rooms", "two", "t")]));
    assert!(publish(&mut hub, campaign, EPOCH, (18, 18), &[("rooms", "two", "u")]));
    assert_eq!((next(&mut one).await, next(&mut one).await), ((at(15), "fresh".into()), (at(17), "o".into())));
    assert_eq!((next(&mut two).await, next(&mut two).await), ((at(17), "fresh".into()), (at(18), "u".into())));
}

#[tokio::test]
async fn whoever_read_before_a_fresh_start_reads_again() {
    let (mut hub, campaign) = (Hub::<()>::default(), campaign());
    let _first = follow(&mut hub, campaign, "one", 10);
    let _second = hub.watch(campaign, "rooms", "one");
    assert!(!hub.covers(campaign, at(9)), "11 comes, 10 does not");
    assert!(hub.covers(campaign, at(10)) && hub.covers(campaign, at(30)));
    hub.lose(campaign);
    refresh(&mut hub, campaign, 40, &["one"]);
    assert!(!hub.covers(campaign, at(30)) && hub.covers(campaign, at(40)));
}

#[test]
fn rows_that_nobody_watches_are_forgotten() {
    let (mut hub, campaign) = (Hub::<()>::default(), campaign());
    let one = follow(&mut hub, campaign, "one", 10);
    let two = follow(&mut hub, campaign, "two", 10);
    drop(one);
    hub.sweep();
    hub.lose(campaign);
    assert_eq!(hub.due(campaign, 9), Due::Rows(vec![named("two")]));
    drop(two);
    hub.sweep();
    assert!(hub.is_empty() && hub.campaigns().is_empty());
}
