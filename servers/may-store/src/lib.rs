//! Stores under coroutines.
