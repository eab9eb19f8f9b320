//! The real binary, started as a user starts it.

#[cfg(test)]
mod mock_upstream;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod support;
