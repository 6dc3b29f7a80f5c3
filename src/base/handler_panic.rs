//! Panics in code that is not lanekeeper's: a user's handler that panics is a failure of its consumer, and no bug here.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

/// Calls a user's handler, or what stands in its place. The error is its panic.
///
/// # Errors
/// The payload of the handler's panic.
pub fn in_handler<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    IN_HANDLER.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    IN_HANDLER.set(false);
    outcome
}

/// Whether this thread is in a handler: for a panic hook, which runs before anything is caught.
pub fn is_in_handler() -> bool {
    IN_HANDLER.get()
}

/// The text of a panic, as it is with `panic!`.
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_in_a_handler_until_it_returns_or_panics() {
        assert!(!is_in_handler());
        assert_eq!(in_handler(is_in_handler).ok(), Some(true));
        assert!(!is_in_handler());
        assert!(in_handler(|| std::panic::resume_unwind(Box::new(()))).is_err());
        assert!(!is_in_handler());
    }
}
