//! What an answer used and made, on the record: usage billed once, its cost, and the object that a later
//! request may name.

use super::{policy::Permit, record::Recorder, worker::Worker};
use crate::{
    dialect::{
        Object, Operation,
        meter::{Meter, Metered},
        price,
    },
    handoff::record::LeftOut,
};

/// Notes where the object is kept that this answer makes. To be called before bytes go to the agent, so that
/// whoever knows the id finds the object.
pub fn note_object(
    worker: &Worker,
    permit: &Permit<'_>,
    meter: &Meter,
    recorder: &mut Recorder<'_>,
) {
    if recorder.object != Object::Made || !recorder.object_id.is_empty() {
        return;
    }
    if let Some(id) = meter.object() {
        let account = &permit.principal().id;
        worker.objects.note(account, id, permit.provider().slot);
        recorder.set_object_id(id);
    }
}

/// Bills what the answer used, unless another exchange has.
pub fn settle(
    worker: &Worker,
    permit: &Permit<'_>,
    metered: &Metered,
    recorder: &mut Recorder<'_>,
) {
    // What has no count of its own has no price either.
    if recorder.operation == Some(Operation::Unmetered) && (200..300).contains(&recorder.status) {
        recorder.unpriced = true;
    }
    if recorder.model.is_empty()
        && let Some(model) = &metered.model
    {
        recorder.model = model.clone().into();
    }
    let Some(usage) = metered.usage else { return };
    if !is_to_be_billed(worker, permit, recorder) {
        return;
    }
    recorder.usage = usage;
    recorder.left_out = metered.left_out;
    let price = permit
        .price()
        .or_else(|| permit.route().price_of(metered.model.as_deref()?));
    if permit.route().leaves_region_out(&recorder.model) {
        recorder.left_out.add(LeftOut::REGION);
    }
    match price {
        Some(price) => recorder.cost = price::cost(&usage, price),
        None => recorder.unpriced = true,
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
