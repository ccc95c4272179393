//! What must hold when machines break: processes killed and frozen, power lost, disks wiped, databases rolled back or away.
//!
//! A pool of clients ([`load`]) records every answer it was given; [`ledger`] then looks whether each of them is in SQL exactly once and
//! whether nothing was sold, seated or paid twice.

mod bonds;
mod crashes;
mod dev;
mod ledger;
mod load;
mod losses;
mod outages;
mod pairs;
mod refunds;
mod rollbacks;
mod sales;

pub(crate) use losses::hold_sql;
