//! A worker's handler, made by the user: how it is made, and what its errors and panics mean for the consumer.

use std::any::Any;

use crate::actors::Context;
use crate::base::{Offset, PartitionId, in_handler, panic_text};
use crate::broker::{BrokerError, ErrorClass};
use crate::logic::{Handler, HandlerError, Record};
use crate::measure::Owner;

/// The user's handler for this incarnation; `None` when the scenario's work is done instead. One that cannot be
/// made comes with the error, as a handler that refuses every record.
pub(super) fn make_handler(
    context: &Context,
    partition: PartitionId,
    owner: Owner,
) -> (Option<Box<dyn Handler>>, Option<BrokerError>) {
    let Some(handlers) = &context.handlers else {
        return (None, None);
    };
    let make = || handlers.make(partition, owner.incarnation);
    let error = match in_handler(make) {
        Ok(Ok(handler)) => return (Some(handler), None),
        Ok(Err(error)) => error,
        Err(panic) => HandlerError::Failed(format!("panic{}", said(&*panic))),
    };
    let failure = BrokerError {
        class: class(&error),
        message: format!("no handler for partition {partition}: {error}"),
    };
    (Some(Box::new(Refusing(error))), Some(failure))
}

/// What a record that was not processed means.
pub(super) fn refused(offset: Offset, error: &HandlerError) -> BrokerError {
    let message = format!("handler failed at offset {offset}: {error}");
    BrokerError { class: class(error), message }
}

/// What a panic within a record means.
pub(super) fn panicked(offset: Offset, panic: &(dyn Any + Send)) -> BrokerError {
    BrokerError::processing(format!("panic while processing offset {offset}{}", said(panic)))
}

fn class(error: &HandlerError) -> ErrorClass {
    match error {
        HandlerError::Failed(_) => ErrorClass::Processing,
        HandlerError::Poison(_) => ErrorClass::Poison,
    }
}

/// The text of a panic behind a colon.
fn said(panic: &(dyn Any + Send)) -> String {
    panic_text(panic).map_or(String::new(), |text| format!(": {text}"))
}

/// Processes nothing: sits where no handler could be made until the consumer is taken down.
struct Refusing(HandlerError);

impl Handler for Refusing {
    fn handle(&mut self, _record: &Record<'_>) -> Result<(), HandlerError> {
        Err(self.0.clone())
    }
}
