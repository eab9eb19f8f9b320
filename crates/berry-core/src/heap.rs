//! Large values that are made where they stay.

/// Makes a value on the heap, which takes room there before the value is made.
///
/// With `Box::new` the value exists before its room does: it is made on the stack and copied. For a
/// request's futures, of which most is not filled when they begin, that would be kilobytes each.
pub fn on_heap<T>(make: impl FnOnce() -> T) -> Box<T> {
    Box::write(Box::new_uninit(), make())
}
