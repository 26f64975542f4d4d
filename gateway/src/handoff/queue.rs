//! Records on their way up: a worker encodes them into a batch, a full or aged batch goes into a
//! bounded queue, the usage writer takes it from there. When the queue is full the worker keeps the
//! batch and stops admitting new exchanges; what is already running can always be recorded.

use super::record::ExchangeRecord;

/// A worker's end.
pub struct RecordSender {}

impl RecordSender {
    /// Whether a new exchange may begin: the writer keeps up.
    pub fn has_room(&self) -> bool {
        todo!()
    }

    /// Encodes one record into the current batch. Never blocks, never fails, never drops.
    pub fn append(&mut self, record: &ExchangeRecord<'_>) {
        let _ = record;
        todo!()
    }

    /// Hands the current batch over when it is old enough; called at every worker tick.
    pub fn tick(&mut self) {
        todo!()
    }

    /// Hands over whatever there is; called when a worker ends.
    pub fn flush(&mut self) {
        todo!()
    }
}
