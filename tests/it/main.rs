//! All integration tests, in one binary: against real servers that each test starts for itself.

#[cfg(test)]
mod support;

#[cfg(test)]
#[cfg(test)]
mod faults;
mod http;
mod model;
mod program;
mod schema;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod store;
