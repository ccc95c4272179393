//! All integration tests, in one binary: against real servers that each test starts for itself.

#[cfg(test)]
mod support;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod http;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod store;
