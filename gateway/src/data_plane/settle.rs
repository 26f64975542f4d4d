//! What an answer used and made, on the record: usage billed once, its cost, and the object that a later
//! request may name.

use super::{limits::Spending, message::ResponseHead, record::Recorder, worker::Worker};
use crate::{
    dialect::{
        Object, Operation,
        meter::{Meter, Metered, SoFar, reported_cost},
        price::{self, Bill},
    },
    handoff::{
        record::{CostNanoUsd, CostSource, LeftOut, ServiceTier, Terms, Usage},
        snapshot::Price,
    },
    policy::Permit,
};

/// Notes where the object is kept that this answer makes. To be called before bytes go to the agent, so that
/// whoever knows the id finds the object.
pub fn note_object(
    worker: &Worker,
    permit: &Permit<'_>,
    meter: &Meter,
    recorder: &mut Recorder<'_>,
) {
    note_id(worker, permit, meter.object(), recorder);
}

/// As [`note_object`], when the answer has told this id.
pub fn note_id(
    worker: &Worker,
    permit: &Permit<'_>,
    id: Option<&str>,
    recorder: &mut Recorder<'_>,
) {
    if recorder.object != Object::Made || !recorder.object_id.is_empty() {
        return;
    }
    if let Some(id) = id {
        let account = &permit.principal().id;
        worker.objects.note(account, id, permit.provider().slot);
        recorder.set_object_id(id);
    }
}

/// Bills what the answer used, unless another exchange has. A message of a WebSocket has no head.
pub fn settle(
    worker: &Worker,
    permit: &Permit<'_>,
    head: Option<&ResponseHead>,
    metered: &Metered,
    recorder: &mut Recorder<'_>,
) {
    // What has no count of its own has no price either.
    if recorder.operation == Some(Operation::Unmetered) && (200..300).contains(&recorder.status) {
        recorder.unpriced = true;
    }
    if let Some(model) = &metered.model {
        recorder.set_response_model(model);
        if recorder.model.is_empty() {
            recorder.set_model(model);
        }
    }
    let Some(usage) = metered.usage else { return };
    recorder.spending = match metered.complete {
        true => Spending::Whole,
        false => Spending::Part,
    };
    if !is_to_be_billed(worker, permit, recorder) {
        return;
    }
    let terms = Terms {
        regional: metered.terms.regional
            || permit.provider().is_regional
            || permit.route().pays_for_region(&recorder.model),
        ..metered.terms
    };
    recorder.usage = usage;
    recorder.terms = terms;
    let price = permit
        .price()
        .or_else(|| permit.route().price_of(metered.model.as_deref()?));
    note_cost(recorder, price, reported(permit, metered, head));
}

/// Notes what the usage on the record costs, at `price` or as the provider `reported`.
pub fn note_cost(recorder: &mut Recorder<'_>, price: Option<&Price>, reported: Option<u64>) {
    let (source, bill) = charge(&recorder.usage, recorder.terms, price, reported);
    recorder.cost_source = source;
    recorder.cost = bill.cost;
    recorder.left_out = bill.left_out;
    recorder.unpriced = source == CostSource::None;
}

/// What an answer that goes on costs so far, at the least.
pub fn least_cost(permit: &Permit<'_>, so_far: &SoFar) -> u64 {
    let is_told = permit.provider().reported_cost.is_some();
    match permit.price() {
        Some(price) if price.is_own || !is_told => least_at(price, so_far),
        // Where a provider's word counts, the list says nothing.
        Some(_) | None => so_far.cost.filter(|_| is_told).unwrap_or(0),
    }
}

/// Until the provider tells the class of service, it may be the cheapest.
fn least_at(price: &Price, so_far: &SoFar) -> u64 {
    let at = |tier| {
        let terms = Terms {
            tier,
            ..so_far.terms
        };
        price::bill(&so_far.usage, terms, price).cost.total()
    };
    if so_far.is_reported {
        return at(so_far.terms.tier);
    }
    let sold = price.tiers.iter().map(|(tier, _)| *tier);
    let costs = sold.chain([ServiceTier::Standard]).map(at);
    costs.min().unwrap_or(0)
}

/// What a provider whose word counts says that it charges.
fn reported(permit: &Permit<'_>, metered: &Metered, head: Option<&ResponseHead>) -> Option<u64> {
    let reported = permit.provider().reported_cost.as_ref()?;
    // In a head a zero stands for a price that the gateway does not know either.
    let in_head = || {
        let value = head?.fields.get(reported.header.as_ref()?.as_str())?;
        reported_cost(value).filter(|cost| *cost > 0)
    };
    metered.cost.or_else(in_head)
}

/// The operator's own price comes first, since it was set on purpose; then what the provider says, who
/// knows what it served; then the list.
fn charge(
    usage: &Usage,
    terms: Terms,
    price: Option<&Price>,
    reported: Option<u64>,
) -> (CostSource, Bill) {
    match (price, reported) {
        (Some(price), _) if price.is_own => {
            (CostSource::Operator, price::bill(usage, terms, price))
        }
        (_, Some(cost)) => {
            let cost = CostNanoUsd {
                other: cost,
                ..CostNanoUsd::default()
            };
            let left_out = LeftOut::default();
            (CostSource::Reported, Bill { cost, left_out })
        }
        (Some(price), None) => (CostSource::Catalog, price::bill(usage, terms, price)),
        (None, None) => (CostSource::None, Bill::default()),
    }
}

/// Usage of an object may be seen by several exchanges: the one that made it, and those that ask for it.
fn is_to_be_billed(worker: &Worker, permit: &Permit<'_>, recorder: &mut Recorder<'_>) -> bool {
    let account = &permit.principal().id;
    match recorder.object {
        Object::None => true,
        Object::Made => worker.objects.bill_as_maker(account, &recorder.object_id),
        Object::Named(id) => {
            let first = worker.objects.bill_later(account, id);
            if first {
                recorder.set_object_id(id);
            }
            first
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::snapshot::{NanoUsdPerMillion, Rates, TierPrice};

    #[test]
    fn the_operators_price_comes_before_the_providers_word_and_that_before_the_list() {
        let price = |is_own| Price {
            standard: TierPrice {
                rates: Rates {
                    input: NanoUsdPerMillion(1_000_000),
                    ..Rates::default()
                },
                long_context: None,
            },
            is_own,
            ..Price::default()
        };
        let (list, own) = (price(false), price(true));
        let usage = Usage {
            input_tokens: 7,
            ..Usage::default()
        };
        let table = [
            (None, None, CostSource::None, 0),
            (None, Some(5), CostSource::Reported, 5),
            (Some(&list), None, CostSource::Catalog, 7),
            (Some(&list), Some(5), CostSource::Reported, 5),
            (Some(&list), Some(0), CostSource::Reported, 0),
            (Some(&own), Some(5), CostSource::Operator, 7),
        ];
        for (price, reported, source, total) in table {
            let (found, bill) = charge(&usage, Terms::default(), price, reported);
            assert_eq!((found, bill.cost.total()), (source, total));
        }
    }
    #[test]
    fn what_is_not_told_is_taken_to_be_cheap() {
        let of = |output: u64| TierPrice {
            rates: Rates {
                output: NanoUsdPerMillion(output * 1_000_000),
                ..Rates::default()
            },
            long_context: None,
        };
        let price = Price {
            standard: of(10),
            tiers: [(ServiceTier::Flex, of(5)), (ServiceTier::Priority, of(20))].into(),
            ..Price::default()
        };
        for (tier, is_reported, cost) in [
            (ServiceTier::Standard, false, 35),
            (ServiceTier::Standard, true, 70),
            (ServiceTier::Priority, true, 140),
        ] {
            let so_far = SoFar {
                usage: Usage {
                    output_tokens: 7,
                    ..Usage::default()
                },
                is_reported,
                terms: Terms {
                    tier,
                    ..Terms::default()
                },
                cost: None,
            };
            assert_eq!(least_at(&price, &so_far), cost);
        }
    }
}
