//! All routes on one screen.

use utoipa_actix_web::service_config::ServiceConfig;

use super::health;
use crate::bargain::{desk as chain_desk, http as chains, live as live_chains};
use crate::campaign::{desk, http as campaigns, report, storefront, versions};
use crate::group_buy::{desk as room_desk, http as rooms, live as live_rooms, solo};
use crate::order::{acts, desk as order_desk, faults, http as orders, work};
use crate::referral::{desk as referral_desk, http as referrals, outside_desk, work as sales};
use crate::share::{assets, desk as share_desk, http as shares, show};
use crate::withdrawal::{desk as withdrawal_desk, http as wallet};
use crate::{identity, operator};

/// Every route of every domain.
pub fn all(cfg: &mut ServiceConfig) {
    // Asked for most when a link goes round, so looked at first.
    cfg.service(show::show);
    cfg.configure(health::routes).configure(identity::http::routes).configure(shopper).configure(operators);
}

fn shopper(cfg: &mut ServiceConfig) {
    cfg.service(storefront::list).service(storefront::read);
    cfg.service(rooms::open).service(rooms::joinable).service(rooms::join).service(solo::order);
    cfg.service(live_rooms::read).service(live_rooms::live);
    cfg.service(chains::start).service(chains::cut).service(chains::order).service(chains::proof).service(chains::mine);
    cfg.service(live_chains::read).service(live_chains::live);
    cfg.service(referrals::invite).service(referrals::bind).service(referrals::rewards).service(referrals::invitees);
    cfg.service(orders::mine).service(orders::read).service(orders::request_payment).service(orders::cancel);
    cfg.service(orders::take_notification).service(orders::sandbox_pay).service(orders::advance).service(faults::spoil);
    cfg.service(wallet::balance).service(wallet::my_statement).service(wallet::mine).service(wallet::withdraw).service(wallet::confirm);
    cfg.service(shares::create).service(shares::revoke).service(shares::read);
    cfg.service(show::code).service(assets::file);
}

fn operators(cfg: &mut ServiceConfig) {
    cfg.configure(operator::http::routes);
    cfg.service(campaigns::create).service(campaigns::list).service(campaigns::read).service(campaigns::edit);
    cfg.service(campaigns::clone).service(campaigns::check_campaign).service(versions::list).service(versions::read);
    cfg.service(desk::publish)
        .service(desk::pause)
        .service(desk::resume)
        .service(desk::end)
        .service(desk::set_switches)
        .service(desk::add_stock)
        .service(report::show_report);
    cfg.service(desk::run_audit);
    cfg.service(room_desk::list).service(chain_desk::list).service(share_desk::list);
    cfg.service(referral_desk::list_rewards)
        .service(referral_desk::list_bonds)
        .service(referral_desk::set_bond)
        .service(referral_desk::tree);
    cfg.service(order_desk::list).service(order_desk::report_paid);
    cfg.service(acts::read).service(acts::edit).service(acts::fulfil).service(acts::refund).service(acts::cancel);
    cfg.service(work::list_refunds).service(work::refund_done).service(work::retry_refund);
    cfg.service(work::list_payments).service(work::retry_payment).service(work::provider);
    cfg.service(outside_desk::report).service(outside_desk::list).service(sales::list).service(sales::retry);
    cfg.service(withdrawal_desk::list).service(withdrawal_desk::read).service(withdrawal_desk::approve).service(withdrawal_desk::reject);
    cfg.service(withdrawal_desk::retry).service(withdrawal_desk::done);
    cfg.service(work::reconciliation).service(work::reconcile);
}
